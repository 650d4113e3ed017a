import torch
from tgdpo_reward_online_head.head import OnlineHead

from tgdpo_core.testing import TokenRewardContract, make_examples


class TestOnlineHead(TokenRewardContract):
    plugin = OnlineHead(learning_rate=0.1)


def test_it_learns_to_tell_chosen_from_rejected():
    examples = make_examples(needs=("reference_logps", "policy_logps"))
    head = OnlineHead(learning_rate=0.1)
    head.setup(None)
    head.phase = "train"

    def loss():
        sums = torch.stack([values.sum() for values in head.score(examples)])
        return -torch.nn.functional.logsigmoid(sums[::2] - sums[1::2]).mean()

    first = loss()
    for step in range(1, 30):
        head.on_step_end(step)
        last = loss()
    assert last < 0.8 * first
