"""Answers in the store: none drawn twice, whatever ends a process and however many work."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.generation.answers import Answer
from tgdpo_core.generation.door import generate
from tgdpo_core.generation.engine import Drawn, Engine, Request
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.store.catalogue import list_collections

ROWS = [PreferencePair(f"prompt {i}", "", "", f"row {i}") for i in range(10)]
SAMPLING = Sampling(samples=2, greedy=True)


class Echo(Engine):
    """Answers with the seed; counts what it was asked, and may stop after some batches."""

    name = "echo"
    together = 4

    def __init__(self, *, version: int = 1, stops_after: int | None = None) -> None:
        self.asked: list[Request] = []
        self.version = version
        self._left = stops_after

    def document(self) -> Mapping[str, Any]:
        return {"engine": self.name, "version": self.version}

    def lay_out(self, prompts: Sequence[PreferencePair], sampling: Sampling) -> list[Any]:
        return [row.prompt for row in prompts]

    def draw(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Drawn]]:
        if self._left == 0:
            raise KeyboardInterrupt
        if self._left is not None:
            self._left -= 1
        for number, request in enumerate(requests):
            self.asked.append(request)
            text = f"an answer \u2764 {request.prompt} {request.seed}"
            yield (
                number,
                Drawn(Answer(text, finished=True, num_tokens=3, seed=request.seed), (1, 2, 3)),
            )


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    first = generate(Echo(), ROWS, SAMPLING, store=tmp_path)
    engine = Echo()
    again = generate(engine, ROWS, SAMPLING, store=tmp_path)
    assert engine.asked == []
    assert again.num_kept == 30
    assert (again.answered, again.drawn) == (first.answered, first.drawn)


def test_what_was_drawn_before_an_interrupt_is_kept(tmp_path: Path) -> None:
    stopped = Echo(stops_after=3)
    with pytest.raises(KeyboardInterrupt):
        generate(stopped, ROWS, SAMPLING, store=tmp_path)
    assert len(stopped.asked) == 12
    engine = Echo()
    generate(engine, ROWS, SAMPLING, store=tmp_path)
    assert len(engine.asked) == 18
    assert not set(map(str, engine.asked)) & set(map(str, stopped.asked))


def test_more_samples_and_more_prompts_draw_only_what_is_new(tmp_path: Path) -> None:
    generate(Echo(), ROWS[:5], SAMPLING, store=tmp_path)
    engine = Echo()
    generate(engine, ROWS, replace(SAMPLING, samples=3), store=tmp_path)
    assert len(engine.asked) == 5 + 5 * 4


@pytest.mark.parametrize(
    "changed", [{"temperature": 0.5}, {"top_p": 0.5}, {"max_new_tokens": 9}, {"seed": 3}]
)
def test_other_settings_are_other_answers(tmp_path: Path, changed: dict[str, Any]) -> None:
    generate(Echo(), ROWS, SAMPLING, store=tmp_path)
    engine = Echo()
    generate(engine, ROWS, replace(SAMPLING, **changed), store=tmp_path)
    assert len(engine.asked) == (20 if "seed" in changed else 30)  # greedy ones have no seed


def test_another_engine_has_answers_of_its_own(tmp_path: Path) -> None:
    generate(Echo(), ROWS, SAMPLING, store=tmp_path)
    engine = Echo(version=2)
    generate(engine, ROWS, SAMPLING, store=tmp_path)
    assert len(engine.asked) == 30


def test_the_same_prompt_twice_is_answered_once(tmp_path: Path) -> None:
    engine = Echo()
    found = generate(engine, [ROWS[0], replace(ROWS[0], columns={"a": 1})], SAMPLING)
    assert len(engine.asked) == 3
    assert found.answered[0].answers == found.answered[1].answers
    assert found.answered[1].columns == {"a": 1}


def test_a_damaged_answer_is_drawn_again(tmp_path: Path) -> None:
    first = generate(Echo(), ROWS, SAMPLING, store=tmp_path)
    (values,) = tmp_path.rglob("*.values")
    content = bytearray(values.read_bytes())
    content[9] ^= 0xFF
    values.write_bytes(content)
    engine = Echo()
    again = generate(engine, ROWS, SAMPLING, store=tmp_path)
    assert len(engine.asked) == 1
    assert again.answered == first.answered


def test_the_store_lists_them(tmp_path: Path) -> None:
    generate(Echo(), ROWS, SAMPLING, store=tmp_path)
    (info,) = list_collections(tmp_path)
    assert (info.what, info.num_entries) == ("answers: echo", 30)


PROGRAM = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from tests.core.generation.test_kept_answers import ROWS, SAMPLING, Echo, generate

    class Slow(Echo):
        together = 1
        def draw(self, requests, sampling):
            for number, drawn in super().draw(requests, sampling):
                time.sleep(0.03)
                yield number, drawn
                print("drawn", flush=True)

    engine = Slow()
    generate(engine, ROWS, SAMPLING, store=Path({store!r}))
    print("asked", len(engine.asked), flush=True)
"""


def start(store: Path) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[3])
    program = textwrap.dedent(PROGRAM).format(tests=root, store=str(store))
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def test_a_kill_loses_at_most_the_batch_under_way(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stdout
    for _ in range(7):
        assert process.stdout.readline() == "drawn\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    engine = Echo()
    found = generate(engine, ROWS, SAMPLING, store=tmp_path)
    assert len(engine.asked) <= 30 - 7
    assert found.answered == generate(Echo(), ROWS, SAMPLING).answered


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(2)]
    said = [process.communicate()[0].splitlines()[-1] for process in processes]
    asked = [int(line.split()[1]) for line in said]
    assert sum(asked) <= 30 + 8
    engine = Echo()
    found = generate(engine, ROWS, SAMPLING, store=tmp_path)
    assert engine.asked == []
    assert found.answered == generate(Echo(), ROWS, SAMPLING).answered
