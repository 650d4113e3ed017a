import math
from types import SimpleNamespace

import pytest
from tgdpo_reward_rarity import Rarity

from tgdpo_core.testing import TokenRewardContract, make_examples, make_tokenizer


class TestRarity(TokenRewardContract):
    plugin = Rarity()


def test_a_token_of_every_response_is_worth_nothing_and_a_rare_one_much(tmp_path):
    rows = [{"prompt": "Q", "chosen": f"a {i}", "rejected": f"b {i}"} for i in range(3)]
    examples = make_examples(rows)
    context = SimpleNamespace(tokenizer=make_tokenizer(), artifacts=tmp_path)
    Rarity().prepare(context, examples)
    reward = Rarity()
    reward.setup(context)
    values = reward.score(examples[:1])[0].tolist()
    assert values[-1] == 0.0  # EOS
    assert values[0] == pytest.approx(math.log(7 / 4))  # "a" is in three of six
