"""Kills in the saves of one process and of two, and checkpoints that are damaged."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.prove_faults.killing import Action, Killer, forked, forked_ranks
from benchmarks.prove_faults.runs import ours, outcome

Train = Callable[[Path, Path, bool], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Count:
    """How many cases of a proof ended as they should."""

    exact: int
    total: int

    def __str__(self) -> str:
        return f"{self.exact} of {self.total}"


def at_equal_distances(points: Sequence[int], number: int | None) -> Sequence[int]:
    """Return as many of the points as asked for; None: all."""
    if number is None or number >= len(points):
        return points
    return [points[i * len(points) // number] for i in range(number)]


def killed_in_saves(root: Path, train: Train, number: int | None, say: Say) -> Count:
    """Kill a run of one process at points of its saves, of rotation and of its end."""
    rows, log, folder = root / "rows.jsonl", root / "events.txt", root / "run"
    log.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    whole = root / f"whole-{train.__name__}"
    if forked(lambda: train(whole, rows, False)):
        raise SystemExit("The run that nothing happens to has failed.")
    expected = outcome(whole)

    def run(killer: Killer) -> Action:
        return lambda: (killer.arm(), train(folder, rows, False))

    forked(run(Killer(folder, None, log)))
    events = log.read_text().splitlines()
    first = next(i for i, name in enumerate(events, 1) if "checkpoint-4" in name)
    exact = 0
    points = at_equal_distances(range(first, len(events) + 1), number)
    for point in points:
        shutil.rmtree(folder, ignore_errors=True)
        killed = forked(run(Killer(folder, point)))
        resumed = forked(lambda: train(folder, rows, True))
        same = resumed == 0 and outcome(folder) == expected
        exact += same
        say(f"{events[point - 1]:70s} {killed:4d} resume {resumed} exact {same}")
    return Count(exact, len(points))


def killed_in_saves_of_two(root: Path, number: int, say: Say) -> Count:
    """Kill one of two ranks at points of the saves; the other ends by itself, both resume."""
    rows, folder, whole = root / "rows.jsonl", root / "run-2", root / "whole-2"
    half = "per_device_train_batch_size=2"

    def train(place: Path, resume: bool, killers: dict[int, Killer]) -> list[int]:
        def of_rank(rank: int) -> Action:
            def act() -> None:
                if rank in killers:
                    killers[rank].arm()
                ours(place, rows, resume, half)

            return act

        return forked_ranks([of_rank(0), of_rank(1)])

    if any(train(whole, False, {})):
        raise SystemExit("The run of two ranks that nothing happens to has failed.")
    expected = outcome(whole)
    exact = total = 0
    for victim, share in ((0, number * 3 // 4), (1, number - number * 3 // 4)):
        log = root / f"events-{victim}.txt"
        shutil.rmtree(folder, ignore_errors=True)
        train(folder, False, {victim: Killer(folder, None, log)})
        events = log.read_text().splitlines()
        first = next(i for i, name in enumerate(events, 1) if "checkpoint-4" in name)
        for point in at_equal_distances(range(first, len(events) + 1), share):
            shutil.rmtree(folder, ignore_errors=True)
            codes = train(folder, False, {victim: Killer(folder, point)})
            resumed = train(folder, True, {})
            same = resumed == [0, 0] and outcome(folder) == expected
            exact, total = exact + same, total + 1
            name = f"rank {victim}: {events[point - 1]}"
            say(f"{name:70s} {codes} resume {resumed} exact {same}")
    return Count(exact, total)


def damaged(root: Path, kinds: dict[str, Callable[[Path], Any]], say: Say) -> Count:
    """Damage the newest checkpoint of a killed run in many ways: the one before is taken."""
    rows, killed, folder, log = (root / n for n in ("rows.jsonl", "killed", "run-d", "events-d"))

    def train(place: Path, at: int | None, events: Path | None) -> Action:
        return lambda: (Killer(place, at, events).arm(), ours(place, rows, False))

    if forked(train(killed, None, log)):
        raise SystemExit("The run that nothing happens to has failed.")
    expected = outcome(killed)
    names = log.read_text().splitlines()
    at = next(i for i, name in enumerate(names, 1) if "checkpoint-6" in name)
    shutil.rmtree(killed)
    forked(train(killed, at, None))
    exact = 0
    for kind, damage in kinds.items():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(killed, folder)
        damage(folder / "checkpoints" / "checkpoint-4")
        resumed = forked(lambda: ours(folder, rows, True))
        took = (folder / "checkpoints" / "set-aside" / "checkpoint-4.1").is_dir()
        same = resumed == 0 and took and outcome(folder) == expected
        exact += same
        say(f"{kind:70s} resume {resumed} fell back {took} exact {same}")
    return Count(exact, len(kinds))
