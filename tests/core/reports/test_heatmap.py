"""What a heat map holds: tokens, their text and their colours."""

from collections.abc import Callable

import numpy as np
import pytest

from tgdpo_core.data.pairs import TokenizedResponse
from tgdpo_core.reports.heatmap import LEVELS, Heatmap, Scale, heatmap, number
from tgdpo_core.reports.visible import Piece
from tgdpo_core.scoring.pairs import ScoredPair

Make = Callable[..., ScoredPair]


def build(*pairs: ScoredPair) -> Heatmap:
    return heatmap(pairs, facts=[("model", "m")], token_name=lambda i: f"<{i}>")


def test_the_scale_is_symmetric_and_gives_only_its_middle_no_colour() -> None:
    scale = Scale(middle=1.0, reach=0.5)
    assert scale.level(1.0) == 0
    assert scale.level(1.5) == LEVELS
    assert scale.level(0.5) == -LEVELS
    assert scale.level(1.0001) == 1
    assert scale.level(0.9999) == -1
    assert scale.level(99.0) == LEVELS


def test_rewards_are_coloured_around_zero_and_weights_around_one(scored_pair: Make) -> None:
    shown = build(scored_pair([1.0, 0.0], [0.0, -1.0]))
    assert (shown.reward_scale.middle, shown.reward_scale.reach) == (0.0, 1.0)
    assert (shown.weight_scale.middle, shown.weight_scale.reach) == (1.0, 0.5)


def test_zeros_do_not_pale_the_few_rewards_that_are_not(scored_pair: Make) -> None:
    shown = build(scored_pair([0.0] * 99 + [0.2], [0.0] * 100))
    assert shown.reward_scale.level(np.float32(0.2)) == LEVELS


def test_one_outlier_does_not_pale_the_other_rewards(scored_pair: Make) -> None:
    shown = build(scored_pair([1.0] * 99, [1000.0]))
    assert shown.reward_scale.level(1.0) == LEVELS


def test_values_without_differences_have_no_colour(scored_pair: Make) -> None:
    shown = build(scored_pair([0.0], [0.0]))
    assert shown.reward_scale.level(0.0) == shown.weight_scale.level(1.0) == 0


def test_each_side_gets_its_own_values_and_means(scored_pair: Make) -> None:
    chosen, rejected = build(scored_pair([1.0, 0.0], [-1.0])).pairs[0].responses
    assert [(t.reward, t.weight) for t in chosen.tokens] == [(1.0, 1.5), (0.0, 1.0)]
    assert [(t.reward, t.weight) for t in rejected.tokens] == [(-1.0, 1.5)]
    assert (chosen.mean_reward, chosen.mean_weight) == (0.5, 1.25)


def test_a_token_without_text_is_shown_by_its_name(scored_pair: Make) -> None:
    pair = scored_pair([1.0, 0.0], [1.0], tokens=(["yes", ""], ["no"]))
    last = build(pair).pairs[0].responses[0].tokens[1]
    assert list(last.pieces) == [Piece("<1>", "special")]


def test_byte_tokens_within_one_character_show_it_once(scored_pair: Make) -> None:
    pair = scored_pair([1.0, 0.0, 0.0], [1.0], tokens=(["🎉", "!", ""], ["no"]))
    response = TokenizedResponse(np.arange(3), np.array([[0, 1], [0, 1], [1, 2]]), "🎉!", 3)
    object.__setattr__(pair.pair, "chosen", response)
    tokens = build(pair).pairs[0].responses[0].tokens
    assert [t.pieces[0] for t in tokens] == [Piece("🎉"), Piece("…", "shared"), Piece("!")]


def test_a_prompt_of_messages_is_shown_with_its_roles(scored_pair: Make) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]
    shown = build(scored_pair([1.0], [0.0], prompt=messages)).pairs[0].prompt
    assert shown == "system: Be brief.\n\nuser: 2+2?"


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.5, "\N{MINUS SIGN}0.5"), (-0.0, "0"), (1 / 3, "0.3333"), (1e-9, "1e\N{MINUS SIGN}09")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
