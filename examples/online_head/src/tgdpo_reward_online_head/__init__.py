"""The token reward `online-head`."""

from tgdpo_core import hookimpl
from tgdpo_reward_online_head.head import OnlineHead

TGDPO_API = 1


@hookimpl
def register_token_rewards(register):
    register("online-head", OnlineHead)
