"""The token reward `step-server`."""

from tgdpo_core import hookimpl
from tgdpo_reward_step_server.reward import StepServer

TGDPO_API = 1


@hookimpl
def register_token_rewards(register):
    register("step-server", StepServer)
