"""The token reward ``remote``: scores of a server, see ``reward``."""

from tgdpo_plugins.token_rewards.remote.reward import Remote as Remote
