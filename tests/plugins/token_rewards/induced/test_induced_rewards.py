"""Values of ``induced``, against log-ratios worked out with plain transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tgdpo_core import Example
from tgdpo_core.scoring.checks import checked_rewards
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_plugins.token_rewards.induced import Induced

ROWS = [
    {
        "prompt": "Two plus two?\n",
        "chosen": "The cat: naïve 🎉.\nSo two plus two is four.\nA: 4",
        "rejected": "It is  five, 中文.",
    },
    {"prompt": "She ", "chosen": "sells sea shells.", "rejected": "sat on the mat."},
]
CHAT = [
    {
        "prompt": [{"role": "user", "content": "Two plus two?"}],
        "chosen": [{"role": "assistant", "content": "Yes.\nIt is four."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
]

Examples = Callable[..., list[Example]]
ByHand = Callable[..., Any]


def rewards(source: Induced, batch: list[Example], context: FrozenModels) -> list[np.ndarray]:
    """Return what the core would store."""
    source.setup(context)
    found = checked_rewards("induced", source.score(batch), batch, ["row"] * len(batch))
    source.teardown()
    return [values.double().numpy() for values in found]


def test_token_rewards_are_the_log_ratios(
    examples: Examples,
    context: FrozenModels,
    same_model: Path,
    model_folder: Path,
    logratios_by_hand: ByHand,
) -> None:
    batch = examples(ROWS)
    by_hand = logratios_by_hand(same_model, model_folder)
    found = rewards(Induced(model=str(same_model), reference=str(model_folder)), batch, context)
    for example, values in zip(batch, found, strict=True):
        expected = by_hand(example.prompt_ids, example.response_ids).numpy()
        np.testing.assert_allclose(values, expected, atol=1e-5)
        assert np.abs(expected).max() > 0.1


def test_without_reference_the_runs_log_probs_are_taken_off(
    examples: Examples, context: FrozenModels, same_model: Path
) -> None:
    batch = examples(ROWS)  # their reference log-probs are zero
    found = rewards(Induced(model=str(same_model)), batch, context)
    logps = context.token_logps(context.load_causal_lm(str(same_model)), batch)
    for values, expected in zip(found, logps, strict=True):
        np.testing.assert_array_equal(values, expected)


# -- another tokenizer ----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [ROWS, CHAT], ids=["text", "chat"])
@pytest.mark.parametrize("granularity", ["token", "step", "response"])
def test_the_total_is_that_of_the_other_tokens(
    rows: list[dict[str, Any]],
    granularity: Any,
    examples: Examples,
    context: FrozenModels,
    other_models: tuple[Path, Path],
    other_tokenizer: Any,
    logratios_by_hand: ByHand,
) -> None:
    batch = examples(rows)
    model, reference = map(str, other_models)
    source = Induced(model=model, reference=reference, tokenizer="own", granularity=granularity)
    by_hand = logratios_by_hand(*other_models)
    for example, values in zip(batch, rewards(source, batch, context), strict=True):
        prompt, whole = texts_of(example, other_tokenizer)
        ids = other_tokenizer(prompt)["input_ids"]
        full = other_tokenizer(whole)["input_ids"]
        boundary = next(i for i in range(len(ids) + 1) if ids[: i + 1] != full[: i + 1])
        if isinstance(example.prompt, str):
            full = [*full, other_tokenizer.eos_token_id]
        expected = by_hand(full[:boundary], full[boundary:]).sum().item()
        assert values.sum() == pytest.approx(expected, abs=1e-4)
        assert abs(expected) > 0.1


def texts_of(example: Example, tokenizer: Any) -> tuple[str, str]:
    """Return prompt, and prompt with response, as the other model's template writes them."""
    if isinstance(example.prompt, str):
        return example.prompt, example.prompt + example.raw_response
    question, answer = example.prompt[0]["content"], example.raw_response[0]["content"]
    return f"<Q>{question}</Q>", f"<Q>{question}</Q>{answer}</s>"


def test_each_token_gets_the_log_ratios_on_its_characters(
    examples: Examples,
    context: FrozenModels,
    other_models: tuple[Path, Path],
    other_tokenizer: Any,
    small_tokenizer: Any,
    logratios_by_hand: ByHand,
) -> None:
    (example, _) = examples([{"prompt": "Janet has ", "chosen": "ab cd", "rejected": "x"}])
    model, reference = map(str, other_models)
    source = Induced(model=model, reference=reference, tokenizer="own")
    (values,) = rewards(source, [example], context)
    prompt = other_tokenizer("Janet has ")["input_ids"]
    full = [*other_tokenizer("Janet has ab cd")["input_ids"], other_tokenizer.eos_token_id]
    same = sum(a == b for a, b in zip(prompt, full, strict=False))
    ratios = logratios_by_hand(*other_models)(full[:same], full[same:]).tolist()
    # Characters of the response and the log-ratio that lies on each of them, token by token.
    on_char = [0.0] * len(example.response)
    tail = len("Janet has ab cd") - len(example.response)
    place = len(other_tokenizer.decode(full[:same])) - tail
    for token, ratio in zip(full[same:-1], ratios[:-1], strict=True):
        length = len(other_tokenizer.decode([token]))
        for char in range(max(place, 0), place + length):
            on_char[char] += ratio / (place + length - max(place, 0))
        place += length
    expected = [sum(on_char[a:b]) for a, b in example.offsets]
    expected[-1] = ratios[-1]  # EOS lies on EOS
    np.testing.assert_allclose(values, expected, atol=1e-4)


def test_values_do_not_depend_on_the_batch(
    examples: Examples, context: FrozenModels, other_models: tuple[Path, Path]
) -> None:
    batch = examples(ROWS)
    model, reference = map(str, other_models)
    source = Induced(model=model, reference=reference, tokenizer="own")
    together = rewards(source, batch, context)
    alone = [rewards(source, [example], context)[0] for example in batch]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_cut_response_has_no_reward_for_what_was_cut(
    examples: Examples,
    context: FrozenModels,
    other_models: tuple[Path, Path],
    other_tokenizer: Any,
    logratios_by_hand: ByHand,
) -> None:
    whole = examples(ROWS[:1])[0]
    batch = examples(ROWS[:1], max_length=len(whole.prompt_ids) + 12)
    cut = batch[0]
    assert len(cut.response_ids) == 12 < len(whole.response_ids)
    model, reference = map(str, other_models)
    source = Induced(model=model, reference=reference, tokenizer="own")
    values = rewards(source, [cut], context)[0]
    (read,) = context.retokenize([cut], other_tokenizer)
    ratios = logratios_by_hand(*other_models)(read.prompt_ids, read.response_ids)
    assert values.sum() == pytest.approx(ratios.sum().item(), abs=1e-4)
    assert other_tokenizer.eos_token_id not in read.response_ids
    assert cut.response.startswith(other_tokenizer.decode(read.response_ids).lstrip("\n"))


# -- sums over steps ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["spread", "last"])
def test_step_rewards_are_the_sums_over_the_steps(
    place: Any, examples: Examples, context: FrozenModels, same_model: Path
) -> None:
    (example, _, *_) = examples(ROWS)
    (tokens,) = rewards(Induced(model=str(same_model)), [example], context)
    source = Induced(model=str(same_model), granularity="step", place=place)
    (values,) = rewards(source, [example], context)
    first, second = (i + 1 for i, c in enumerate(example.response) if c == "\n")
    ends = np.array(example.offsets)[:, 1]
    steps = [ends <= first, (ends > first) & (ends <= second), ends > second]
    assert [step.sum() > 1 for step in steps] == [True] * 3
    for step in steps:
        total = tokens[step].sum()
        expected = np.full(step.sum(), total / step.sum())
        if place == "last":
            expected = np.append(np.zeros(step.sum() - 1), total)
        np.testing.assert_allclose(values[step], expected, atol=1e-4)


def test_a_response_reward_is_one_sum(
    examples: Examples, context: FrozenModels, same_model: Path
) -> None:
    (example, _, *_) = examples(ROWS)
    (tokens,) = rewards(Induced(model=str(same_model)), [example], context)
    source = Induced(model=str(same_model), granularity="response", place="last")
    (values,) = rewards(source, [example], context)
    assert list(values[:-1]) == [0.0] * (len(values) - 1)
    assert values[-1] == pytest.approx(tokens.sum(), abs=1e-4)


def test_the_step_separator_decides_the_steps(
    examples: Examples, context: FrozenModels, same_model: Path
) -> None:
    (example, _, *_) = examples(ROWS)
    source = Induced(model=str(same_model), granularity="step", place="last", step_separator=". ")
    (one_step,) = rewards(source, [example], context)
    assert np.count_nonzero(one_step) == 1
