"""Judges that read pairs: log-probs against plain forwards, means, errors, what is written."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core import Generation, Judge, PairLikelihood
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import PluginError
from tgdpo_core.evaluation.judging import (
    asked_anew,
    evaluate_pairs,
    judged,
    judged_pairs,
    write_evaluation,
)
from tgdpo_core.evaluation.likelihood import pair_likelihoods
from tgdpo_core.generation.answers import Answer, AnsweredPrompt
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.manager import PluginManager


@pytest.fixture
def model(model_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(model_folder)


@pytest.fixture
def untouched(model_folder: Path) -> Any:
    """The same model, for plain forwards: the engine has its own attention."""
    return AutoModelForCausalLM.from_pretrained(model_folder).eval()


def tokenized(
    rows: Sequence[dict[str, Any]], tokenizer: Any, *, max_length: int = 2048
) -> list[TokenizedPair]:
    report = DataReport("test", num_rows=len(rows))
    pairs = parse_rows([(f"row {i}", row) for i, row in enumerate(rows)], report)
    return tokenize_pairs(pairs, tokenizer, LengthLimits(max_length), report)


@torch.no_grad()
def plain(model: Any, prompt: Any, response: Any) -> list[float]:
    """Return the log-probs of one response by a forward of its own."""
    ids = torch.tensor([[*prompt, *response]])
    logps = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return logps.gather(1, torch.tensor(response)[:, None])[:, 0].tolist()


class Margin(Judge):
    """log pi(chosen) - log pi(rejected), in nats."""

    reads = "pairs"

    def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
        return [sum(pair.chosen_logps) - sum(pair.rejected_logps) for pair in batch]


def test_log_probs_are_those_of_plain_forwards_in_the_order_of_the_pairs(
    model: Any, untouched: Any, small_rows: list[dict[str, Any]], small_tokenizer: Any
) -> None:
    pairs = tokenized(small_rows, small_tokenizer)
    found = pair_likelihoods(model, pairs, Precision(), label="test")
    assert len({len(item.chosen_logps) for item in found}) > 1
    for pair, item in zip(pairs, found, strict=True):
        for response, logps in (
            (pair.chosen.ids, item.chosen_logps),
            (pair.rejected.ids, item.rejected_logps),
        ):
            expected = plain(untouched, pair.prompt_ids.tolist(), response.tolist())
            assert logps == pytest.approx(expected, abs=1e-4)


def test_a_judge_sees_prompt_columns_and_exactly_the_text_that_was_scored(
    model: Any, small_tokenizer: Any
) -> None:
    row = {"prompt": "Two plus two?\n", "chosen": "It is four.", "rejected": "No.", "level": 3}
    (whole,) = tokenized([row], small_tokenizer)
    room = len(whole.chosen.ids) - 2
    (pair,) = tokenized([row], small_tokenizer, max_length=len(whole.prompt_ids) + room)
    (item,) = pair_likelihoods(model, [pair], Precision(), label="test")
    assert (item.prompt, item.rejected, item.columns) == ("Two plus two?\n", "No.", {"level": 3})
    assert item.chosen == small_tokenizer.decode(whole.chosen.ids[:room]) != "It is four."
    assert len(item.chosen_logps) == room


def test_an_evaluation_is_the_mean_over_pairs_with_its_standard_error(
    model: Any,
    untouched: Any,
    small_rows: list[dict[str, Any]],
    small_tokenizer: Any,
    tmp_path: Path,
) -> None:
    pairs = tokenized(small_rows, small_tokenizer)
    sums = [
        [sum(plain(untouched, p.prompt_ids.tolist(), side.ids.tolist())) for side in sides]
        for p in pairs
        for sides in [(p.chosen, p.rejected)]
    ]
    margins = np.array([chosen - rejected for chosen, rejected in sums])

    found = evaluate_pairs("tiny", model, pairs, ("margin", Margin()), precision=Precision())
    summary = found.summary()
    assert (summary["model"], summary["num_pairs"]) == ("tiny", 12)
    assert summary["score"]["mean"] == pytest.approx(margins.mean(), abs=1e-3)
    error = margins.std(ddof=1) / 12**0.5
    assert summary["score"]["standard_error"] == pytest.approx(error, abs=1e-3)

    write_evaluation(tmp_path, found, {"split": "test"})
    assert json.loads((tmp_path / "summary.json").read_text()) == {**summary, "split": "test"}
    rows = [json.loads(x) for x in (tmp_path / "outputs.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in small_rows]
    assert [row["score"] for row in rows] == pytest.approx(margins, abs=1e-3)
    assert [[*row["logps"].values()] for row in rows] == [pytest.approx(s, abs=1e-3) for s in sums]


# -- what is refused ------------------------------------------------------------------------------

PAIRS = [
    PairLikelihood(f"prompt {i}", "yes", "no", (-1.0, -0.5), (-2.0,), {}) for i in range(3)
]  # fmt: skip


class Says(Judge):
    """Returns what the test wants."""

    reads = "pairs"

    def __init__(self, result: Any) -> None:
        self._result = result

    def score_pairs(self, batch: Sequence[PairLikelihood]) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([1.0, 0.0], r"judge 'says' must return 3 finite numbers or Unjudged\(reason\), got 2"),
        ([1.0, float("nan"), 0.0], r"the prompt 'prompt 1': .* a finite number .*, got nan"),
        ([0.0, 0.0, float("inf")], r"the prompt 'prompt 2': .* a finite number .*, got inf"),
        (["high", "low", "low"], r"the prompt 'prompt 0': .*got 'high'"),
        (None, r"must return 3 finite numbers .*, got NoneType"),
        ([[1.0], [0.0], [1.0]], r"the prompt 'prompt 0': .*got \[1\.0\]"),
        (RuntimeError("no idea"), r"judge 'says' failed on 3 pairs: RuntimeError: no idea"),
    ],
)
def test_a_judge_that_does_not_give_one_finite_number_per_pair_is_named(
    result: Any, message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        judged_pairs(("says", Says(result)), PAIRS)


def test_a_judge_of_answers_is_held_to_the_same(small_rows: list[dict[str, Any]]) -> None:
    class Gap(Judge):
        """No score for the second answer."""

        def score(self, batch: Sequence[Generation]) -> list[float]:
            return [float("nan") if item.response == "b" else 1.0 for item in batch]

    answered = [
        AnsweredPrompt(row["prompt"], (Answer(text, finished=True, num_tokens=2),))
        for text, row in zip("ab", small_rows, strict=False)
    ]
    with pytest.raises(PluginError, match=r"judge 'gap', the prompt 'Question 1.*got nan"):
        judged(asked_anew(("gap", Gap())), answered)


def test_a_judge_does_not_move_the_random_state_of_the_run() -> None:
    class Coin(Judge):
        """Draws."""

        reads = "pairs"

        def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
            torch.rand(3)
            return [random.random() for _ in batch]

    before = random.getstate(), torch.get_rng_state()
    judged_pairs(("coin", Coin()), PAIRS)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_judge_that_reads_something_else_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        "from tgdpo_core import Judge, hookimpl\n"
        "class Wrong(Judge):\n    reads = 'pair'\n"
        "@hookimpl\ndef register_judges(register):\n    register('wrong', Wrong)\n"
    )
    with pytest.raises(PluginError, match=r"Wrong\.reads is 'pair'; it must be one of 'answers',"):
        PluginManager(files=[file]).find("judge", "wrong")


def test_a_judge_without_its_method_says_which_one_to_write() -> None:
    class Empty(Judge):
        """Has forgotten to say what it reads."""

        def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
            return [0.0 for _ in batch]

    with pytest.raises(NotImplementedError, match=r"say reads = 'pairs'"):
        Empty().score([])
