"""Dense reward models of every known format as one token reward."""

from tgdpo_plugins.token_rewards.dense_prm.provider import DensePRM as DensePRM
