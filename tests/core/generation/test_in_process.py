"""The engine in this process: what is drawn depends on prompt and seed, not on the batch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError
from tgdpo_core.generation.door import Answers, generate
from tgdpo_core.generation.in_process import InProcess
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.models.precision import Precision

WORDS = ["the", "cat", "sat", "on", "two", "plus", "four", "and", "a", "mat"]
ROWS = [
    PreferencePair(
        " ".join(WORDS[i % 3 : i % 3 + 1 + i % 7] + [WORDS[i % 10]] * (i // 10)), "", "", "row"
    )
    for i in range(40)
]
SAMPLING = Sampling(samples=3, greedy=True, max_new_tokens=12, temperature=0.8, top_p=0.95)


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(model_folder).eval()


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(model_folder)


def answers(
    model: Any,
    tokenizer: Any,
    rows: Sequence[PreferencePair] = ROWS,
    sampling: Sampling = SAMPLING,
    **kwargs: Any,
) -> Answers:
    engine = InProcess(model, tokenizer, precision=Precision(), **kwargs)
    return generate(engine, rows, sampling)


@pytest.fixture(scope="module")
def expected(model: Any, tokenizer: Any) -> Answers:
    return answers(model, tokenizer, batch_size=1)


@pytest.mark.parametrize("batch_size", [7, 64])
def test_the_batch_size_changes_no_answer(
    model: Any, tokenizer: Any, expected: Answers, batch_size: int
) -> None:
    found = answers(model, tokenizer, batch_size=batch_size)
    assert found.answered == expected.answered
    assert len({a.text for item in found.answered for a in item.answers}) > 40


def test_the_order_of_prompts_changes_no_answer(
    model: Any, tokenizer: Any, expected: Answers
) -> None:
    found = answers(model, tokenizer, ROWS[::-1])
    assert found.answered[::-1] == expected.answered


def test_fewer_samples_are_the_first_of_more(model: Any, tokenizer: Any, expected: Answers) -> None:
    found = answers(model, tokenizer, sampling=replace(SAMPLING, samples=1, greedy=False))
    assert [a.answers for a in found.answered] == [a.answers[1:2] for a in expected.answered]


def test_another_seed_draws_other_answers_and_the_same_greedy_ones(
    model: Any, tokenizer: Any, expected: Answers
) -> None:
    found = answers(model, tokenizer, sampling=replace(SAMPLING, seed=1))
    assert [a.answers[0] for a in found.answered] == [a.answers[0] for a in expected.answered]
    assert all(
        a.answers[1:] != b.answers[1:]
        for a, b in zip(found.answered, expected.answered, strict=True)
    )


def test_the_random_state_of_the_caller_stays(model: Any, tokenizer: Any) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    answers(model, tokenizer, ROWS[:2])
    assert torch.equal(torch.get_rng_state(), before)


def test_greedy_answers_are_those_of_generate(model: Any, tokenizer: Any) -> None:
    greedy = Sampling(samples=0, greedy=True, max_new_tokens=8)
    found = answers(model, tokenizer, ROWS[:3], greedy)
    for row, drawn in zip(ROWS, found.drawn, strict=False):
        ids = tokenizer(row.prompt, return_tensors="pt")
        ids.pop("token_type_ids", None)
        plain = model.generate(**ids, max_new_tokens=8, do_sample=False)
        assert drawn[0].ids == tuple(plain[0, ids["input_ids"].shape[1] :].tolist())


def test_answers_say_how_they_ended(model: Any, tokenizer: Any, expected: Answers) -> None:
    flat = [d for drawn in expected.drawn for d in drawn]
    for each in flat:
        assert each.ids is not None
        assert each.answer.num_tokens == len(each.ids)
        assert each.answer.finished == (each.ids[-1] == tokenizer.eos_token_id)
        assert each.answer.finished or each.answer.num_tokens == SAMPLING.max_new_tokens
    assert {each.answer.seed is None for each in flat} == {True, False}


def test_answers_to_a_prompt_share_its_forward_pass(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    forward = model.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", watched)
    row = replace(ROWS[0], prompt="the cat sat on a mat and")
    answers(model, tokenizer, [row], replace(SAMPLING, samples=5))
    length = len(tokenizer(row.prompt)["input_ids"])
    assert seen[0] == (1, length - 1)
    assert set(seen[1:]) == {(6, 1)}


def test_frequencies_are_those_of_the_distribution(model: Any, tokenizer: Any) -> None:
    sampling = Sampling(samples=4000, max_new_tokens=1, temperature=0.7, top_p=0.9)
    found = answers(model, tokenizer, ROWS[:1], sampling, batch_size=4000)
    drawn = torch.tensor([d.ids for d in found.drawn[0]]).squeeze(1)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([found.prompts[0]])).logits[0, -1]
    p = (logits / 0.7).softmax(-1)
    ordered, places = p.sort(descending=True)
    kept = places[: int((ordered.cumsum(0) < 0.9).sum()) + 1]
    allowed = torch.zeros_like(p).index_fill(0, kept, 1.0) * p
    allowed /= allowed.sum()
    found_p = torch.bincount(drawn, minlength=len(p)) / len(drawn)
    assert found_p[allowed == 0].sum() == 0
    error = (allowed * (1 - allowed) / len(drawn)).sqrt()
    assert ((found_p - allowed).abs() <= 5 * error + 1e-9).all()


def test_prompts_that_leave_no_room_are_named(model: Any, tokenizer: Any) -> None:
    long = replace(ROWS[0], prompt="cat " * 4000, where="p.jsonl:7")
    with pytest.raises(DataError, match=r"1 of 2 prompts are too long: p\.jsonl:7 has"):
        answers(model, tokenizer, [ROWS[0], long])
