"""What a judge says of answers, asked once: verdicts that are numbers are kept in a file."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tgdpo_core.errors import PluginError, StoreError
from tgdpo_core.evaluation.judging import checked_scores
from tgdpo_core.plugin_api.judges import Comparison, Generation, Judge, Unjudged, Verdict
from tgdpo_core.scoring.guard import call_on_batch

Asked = Generation | Comparison


class KeptVerdicts:
    """Numbers that a judge gave, by what it was asked about; one line of JSON each.

    What it left unjudged is not kept: it is asked again in another call.

    Args:
        path: the file; made if it is not there. Its last line may be half a line.

    Raises:
        StoreError: the file is damaged or cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, float] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) < len(data):  # a process was killed while it wrote
                path.write_bytes(whole)
        except OSError as error:
            raise StoreError(f"{path}: the kept scores cannot be used: {error}") from error
        for number, line in enumerate(whole.splitlines(), start=1):
            self._values |= self._read(line, number)

    def _read(self, line: bytes, number: int) -> dict[str, float]:
        try:
            item = json.loads(line)
            return {str(item["asked"]): float(item["score"])}
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"{self._path}:{number}: not a kept score ({error}). Remove the file: the judge is "
                "asked again."
            ) from error

    def get(self, key: str) -> float | None:
        """Return a number, or None where it was not asked about that."""
        return self._values.get(key)

    def add(self, found: Iterable[tuple[str, float]]) -> None:
        """Keep numbers.

        Raises:
            StoreError: the disk is full or not writable.
        """
        found = list(found)
        lines = [json.dumps({"asked": key, "score": value}) + "\n" for key, value in found]
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(lines)
        except OSError as error:
            raise StoreError(f"{self._path}: scores cannot be kept: {error}") from error
        self._values.update(found)


def verdicts(
    judge: tuple[str, Judge],
    asked: Sequence[Asked],
    kept: KeptVerdicts,
    *,
    together: int,
    on_batch: Callable[[int], object] = lambda _: None,
) -> list[Verdict]:
    """Return what a judge says of answers, or of comparisons, in their order.

    Args:
        judge: a judge that is set up, with its name.
        asked: what it is asked about.
        kept: numbers that it gave before; new ones are added after every batch.
        together: most that it is asked about at once.
        on_batch: is told how many were asked.

    Raises:
        PluginError: the judge failed, or returned something else than a number or ``Unjudged`` for
            each.
    """
    keys = [asked_key(item) for item in asked]
    missing = {key: item for key, item in zip(keys, asked, strict=True) if kept.get(key) is None}
    unjudged: dict[str, Unjudged] = {}
    names = list(missing)
    for start in range(0, len(names), together):
        batch = names[start : start + together]
        found = dict(zip(batch, _ask(judge, [missing[key] for key in batch]), strict=True))
        unjudged |= {k: v for k, v in found.items() if isinstance(v, Unjudged)}
        kept.add((k, v) for k, v in found.items() if not isinstance(v, Unjudged))
        on_batch(len(batch))
    return [unjudged[key] if key in unjudged else _number(kept, key) for key in keys]


def asked_key(item: Asked) -> str:
    """Return a name of what a judge is asked about: a hash of all that it may read."""
    text = json.dumps(asdict(item), sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _number(kept: KeptVerdicts, key: str) -> float:
    value = kept.get(key)
    assert value is not None
    return value


def _ask(judge: tuple[str, Judge], batch: Sequence[Asked]) -> list[Verdict]:
    who, instance = f"judge '{judge[0]}'", judge[1]
    of_comparisons = instance.reads == "comparisons"
    function: Callable[[Any], Any] = instance.compare if of_comparisons else instance.score
    copies = copy.deepcopy(list(batch))
    said = call_on_batch(who, f"{len(batch)} {instance.reads}", function, copies)
    if not isinstance(said, Iterable):
        raise PluginError(f"{who} must return {len(batch)} verdicts, got {type(said).__name__}.")
    listed: list[Any] = list(said)
    if len(listed) != len(batch):
        raise PluginError(f"{who} must return {len(batch)} verdicts, got {len(listed)}.")
    judged = [i for i, verdict in enumerate(listed) if not isinstance(verdict, Unjudged)]
    values = checked_scores(who, [listed[i] for i in judged], [batch[i] for i in judged])
    for i, value in zip(judged, values.tolist(), strict=True):
        if of_comparisons and not 0 <= value <= 1:
            raise PluginError(f"{who} must return values from 0 to 1 for comparisons, got {value}.")
        listed[i] = float(value)
    return listed
