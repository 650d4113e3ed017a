"""Error spans of a judge, projected to the tokens of training responses."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tgdpo_core import Generation, Judge
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import PluginError
from tgdpo_core.evaluation.known_errors import known_errors
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import make_plan
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.training import run

Spans = Sequence[Sequence[tuple[int, int]]] | None


class Knows(Judge):
    """Returns what it was made with."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans

    def error_spans(self, batch: Sequence[Generation]) -> Spans:
        return self.spans


@pytest.fixture
def pairs() -> Sequence[TokenizedPair]:
    """One pair of the playground, whose tokens are its pieces."""
    tokenizer = AutoTokenizer.from_pretrained(
        PluginManager().find("dataset", "playground").factory.model
    )
    row = {"prompt": "3+4*2=", "chosen": " so +47 now *24", "rejected": " so +48"}
    report = DataReport("test", num_rows=1)
    parsed = parse_rows([("row 0", row)], report)
    return tokenize_pairs(parsed, tokenizer, LengthLimits(64), report)


def masks(spans: Spans, pairs: Sequence[TokenizedPair]) -> dict[str, list[int]]:
    found = known_errors(("knows", Knows(spans)), pairs)
    assert found is not None
    return {side: mask.astype(int).tolist() for side, mask in found.items()}


def test_a_token_is_an_error_if_one_of_its_characters_is(pairs: Sequence[TokenizedPair]) -> None:
    # " so " + 4 7 " now " * 2 4 EOS   and   " so " + 4 8 EOS
    assert masks([[(3, 5)]], pairs) == {
        "chosen": [1, 1, 0, 0, 0, 0, 0, 0, 0],
        "rejected": [1, 1, 0, 0, 0],
    }


def test_an_empty_span_at_the_end_is_eos(pairs: Sequence[TokenizedPair]) -> None:
    assert masks([[(7, 7)]], pairs)["rejected"] == [0, 0, 0, 0, 1]


def test_a_judge_that_cannot_tell_gives_nothing(pairs: Sequence[TokenizedPair]) -> None:
    assert known_errors(("knows", Knows(None)), pairs) is None


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([], "must return 1 lists of spans, got 0"),
        ([[(3, 99)]], r"row 0 \(chosen\): the span \(3, 99\) is outside the response of 15"),
        ([[(5, 3)]], r"the span \(5, 3\) is outside"),
    ],
)
def test_wrong_spans_are_refused_with_judge_and_row(
    spans: Spans, message: str, pairs: Sequence[TokenizedPair]
) -> None:
    with pytest.raises(PluginError, match=f"judge 'knows', error_spans.*{message}"):
        known_errors(("knows", Knows(spans)), pairs)


def test_a_run_logs_how_well_its_reward_marks_the_errors(tmp_path: Path) -> None:
    def trained(name: str, scale: float) -> dict[str, Any]:
        transforms = [{"name": "scale", "factor": scale}]
        content = {
            "data": {"path": "playground", "eval_path": "playground"},
            "reward": [{"plugin": "playground-oracle", "transforms": transforms}],
            "judging": {"judge": "verifier", "num_prompts": 2, "max_new_tokens": 4},
            "training": {
                "max_steps": 1,
                "logging_steps": 1,
                "eval_strategy": "no",
                "save_strategy": "no",
            },
            "output_dir": str(tmp_path / name),
        }
        folder = run.train(make_plan(resolve_recipe(content), PluginManager()))
        rows = [json.loads(line) for line in folder.log.read_text().splitlines()]
        record: dict[str, Any] = folder.read()["diagnostics"]
        (logged,) = [row for row in rows if "loss" in row]
        assert logged["token_reward/error_auc_rejected"] == record["errors"]["rejected"]
        return record

    right, wrong = trained("right", 1.0), trained("wrong", -1.0)
    assert right["errors"]["chosen"] == right["errors"]["rejected"] == 1.0
    assert right["errors"]["num_rejected"] > right["errors"]["num_chosen"] > 0
    assert wrong["errors"]["rejected"] == 0.0
    assert "wrong-way" in [sign["code"] for sign in wrong["warnings"]]
    assert "wrong-way" not in [sign["code"] for sign in right["warnings"]]


class Sees(Judge):
    """Remembers what it was shown; knows every 'bad' and the end."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.finished: list[bool | None] = []

    def error_spans(self, batch: Sequence[Generation]) -> Spans:
        self.shown += [item.response for item in batch]
        self.finished += [item.finished for item in batch]
        return [
            [(m.start(), m.end()) for m in re.finditer("bad|$", item.response)] for item in batch
        ]


def chat_pairs(max_length: int, **columns: Any) -> Sequence[TokenizedPair]:
    """Return one pair of messages behind a template with closing marks."""
    from tgdpo_core.testing import make_tokenizer

    plain = make_tokenizer()
    tokenizer = type(plain)(
        tokenizer_object=plain.backend_tokenizer, eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    row = {
        "prompt": [{"role": "user", "content": "Speak."}],
        "chosen": [{"role": "assistant", "content": "good and bad"}],
        "rejected": [{"role": "assistant", "content": "so bad, it is bad and bad"}],
        **columns,
    }
    report = DataReport("test", num_rows=1)
    parsed = parse_rows([("row 0", row)], report)
    return tokenize_pairs(parsed, tokenizer, LengthLimits(max_length), report)


def test_a_judge_is_shown_no_closing_marks_and_an_error_of_the_end_lies_on_them() -> None:
    judge = Sees()
    pairs = chat_pairs(200)
    found = known_errors(("sees", judge), pairs)
    assert judge.shown == ["good and bad", "so bad, it is bad and bad"]
    assert found is not None
    response = pairs[0].chosen
    marked = [
        response.text[a:b] for (a, b), m in zip(response.offsets, found["chosen"], strict=True) if m
    ]
    assert "".join(marked).replace(" ", "") == "bad</s>"


def test_errors_behind_a_cut_and_the_end_of_a_cut_response_are_left_out() -> None:
    judge = Sees()
    pairs = chat_pairs(30)
    response = pairs[0].rejected
    assert len(response.ids) < response.num_untruncated
    found = known_errors(("sees", judge), pairs)
    assert judge.shown[1] == "so bad, it is bad and bad"
    assert found is not None
    marked = [
        response.text[a:b]
        for (a, b), m in zip(response.offsets, found["rejected"], strict=True)
        if m
    ]
    assert 0 < "".join(marked).count("b") == response.text.count("bad")


def test_a_response_that_goes_on_has_no_end_that_could_be_an_error() -> None:
    judge = Sees()
    pairs = chat_pairs(200, chosen_finished=False)
    found = known_errors(("sees", judge), pairs)
    assert judge.finished == [False, True]
    assert found is not None
    response = pairs[0].chosen
    marked = [
        response.text[a:b] for (a, b), m in zip(response.offsets, found["chosen"], strict=True) if m
    ]
    assert (response.text.strip(), "".join(marked).strip()) == ("good and bad", "bad")
    assert pairs[0].rejected.text.endswith("</s>")
    assert found["rejected"][-1]


@pytest.mark.parametrize(("finished", "ends"), [(True, 1), (None, 1), (False, 0)])
def test_the_playgrounds_judge_knows_that_a_cut_answer_has_no_end(
    finished: bool | None, ends: int
) -> None:
    judge = PluginManager().find("judge", "verifier").create()
    (spans,) = judge.error_spans([Generation("3+4*2=", " so +47", finished=finished)])
    assert [(a, b) for a, b in spans if a == b == 7] == [(7, 7)] * ends
