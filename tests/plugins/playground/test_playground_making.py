"""The parts that made the shipped files, without training anything."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tgdpo_plugins.playground.dataset import Playground
from tgdpo_plugins.playground.demonstrator import Demonstrator
from tgdpo_plugins.playground.pairs import GradedPair, graded_pairs, read_rows, write_pairs
from tgdpo_plugins.playground.task import apply_operator, check_text, make_prompt

RIGHT, ONE_ERROR, ONE_OTHER_ERROR, TWO_ERRORS = " so +47", " so +48", " now +49", " so +47*"


def pairs_of(first: str | None, second: str | None, *, num_pairs: int = 1) -> list[GradedPair]:
    """Return the pairs when every first response is ``first`` and every second one ``second``."""
    answers = iter([first, second] * 100)
    prompts = iter(["3+4="] * 256)

    def respond(prompts: Sequence[str]) -> list[str | None]:
        return [next(answers)] * len(prompts)

    return graded_pairs(prompts, respond, num_pairs=num_pairs)


def test_fewer_errors_are_preferred_whichever_came_first() -> None:
    expected = [GradedPair("3+4=", RIGHT, ONE_ERROR, chosen_errors=0, rejected_errors=1)]
    assert pairs_of(RIGHT, ONE_ERROR) == expected
    assert pairs_of(ONE_ERROR, RIGHT) == expected


@pytest.mark.parametrize("second", [ONE_ERROR, ONE_OTHER_ERROR, "", None])
def test_ties_empty_and_endless_responses_give_no_pair(second: str | None) -> None:
    assert pairs_of(ONE_ERROR, second) == []


def test_no_more_pairs_are_made_than_asked_for() -> None:
    assert len(pairs_of(RIGHT, ONE_ERROR, num_pairs=3)) == 3


def test_pairs_are_written_as_rows(tmp_path: Path) -> None:
    write_pairs(pairs_of(RIGHT, ONE_ERROR, num_pairs=2), tmp_path / "rows.jsonl")
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "prompt": "3+4=",
            "chosen": RIGHT,
            "rejected": ONE_ERROR,
            "chosen_errors": 0,
            "rejected_errors": 1,
        }
    ] * 2


def test_compressed_pairs_are_the_same_rows_and_carry_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pairs_of(RIGHT, ONE_ERROR, num_pairs=2)
    write_pairs(pairs, tmp_path / "rows.jsonl.gz")
    monkeypatch.setattr("time.time", lambda: 0.0)
    write_pairs(pairs, tmp_path / "later.jsonl.gz")
    assert list(read_rows(tmp_path / "rows.jsonl.gz")) == [vars(pair) for pair in pairs]
    assert (tmp_path / "rows.jsonl.gz").read_bytes() == (tmp_path / "later.jsonl.gz").read_bytes()


def test_the_demonstrator_errs_at_its_own_rates() -> None:
    demonstrator = Demonstrator.draw(random.Random(1))
    rng = random.Random(2)
    num_errors = {entry: 0 for entry in demonstrator.habits}
    num_seen = dict(num_errors)
    for _ in range(20_000):
        prompt = make_prompt(rng, num_steps=1)
        operator, operand = prompt[1], prompt[2]
        written = demonstrator.answer(prompt, rng)[-1]
        entry = operator, prompt[0], operand
        num_seen[entry] += 1
        wrong = written != apply_operator(*entry)
        num_errors[entry] += wrong
        assert not wrong or written == demonstrator.habits[entry].favourite
    expected = sum(n * demonstrator.habits[entry].error_rate for entry, n in num_seen.items())
    assert sum(num_errors.values()) == pytest.approx(expected, rel=0.05)


def test_the_form_of_a_demonstration_is_never_broken() -> None:
    demonstrator = Demonstrator.draw(random.Random(1))
    rng = random.Random(2)
    for _ in range(200):
        prompt = make_prompt(rng)
        labels = check_text(prompt, demonstrator.answer(prompt, rng)).labels
        assert "after-break" not in labels
        assert labels[-1] == "correct"


def test_sampling_leaves_the_random_state_alone() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tgdpo_plugins.playground.sampling import respond

    model = AutoModelForCausalLM.from_pretrained(Playground.model)
    tokenizer = AutoTokenizer.from_pretrained(Playground.model)
    before = torch.get_rng_state()
    prompts = ["3+4*2-5+1*7="] * 20
    first = respond(model, tokenizer, prompts=prompts, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert respond(model, tokenizer, prompts=prompts, seed=1) == first
    assert respond(model, tokenizer, prompts=prompts, seed=2) != first
