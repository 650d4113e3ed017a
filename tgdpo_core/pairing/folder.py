"""The folder of a made data set: rows, data card, and below ``made`` what they were made from.

``tgdpo train`` and ``datasets`` read the folder as it is: of its data files there is one.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tgdpo_core.errors import DataError, StoreError, UsageError
from tgdpo_core.generation.answers import AnsweredPrompt, write_answers
from tgdpo_core.store.folder import write_whole

FileForm = Literal["jsonl", "parquet"]

_MADE_BY = "tgdpo pairs"
_LOG = "output.txt"  # tgdpo ablate writes there what a preparation prints


class PairsFolder:
    """The folder that ``tgdpo pairs`` writes.

    Args:
        path: the folder.

    Raises:
        UsageError: it holds something else.
        StoreError: it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = path / "made"
        try:
            if not _is_free(path) and self.settings() is None:
                raise UsageError(
                    f"{path} is there and was not made by tgdpo pairs. Choose another --output."
                )
            self._made.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path} cannot be used: {error}") from error

    @property
    def _record(self) -> Path:
        return self._made / "record.json"

    def settings(self) -> Mapping[str, Any] | None:
        """Return what its pairs were made with, empty before they are; None: it is not ours."""
        try:
            record = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        is_ours = isinstance(record, dict) and record.get("made_by") == _MADE_BY
        return record["settings"] if is_ours else None

    def begin(self, settings: Mapping[str, Any], *, overwrite: bool) -> None:
        """Take the folder for pairs with these settings; what it holds stays until ``write``.

        Raises:
            UsageError: the folder holds one that was made with other settings.
        """
        before = self.settings()
        if before and before != settings and not overwrite:
            raise UsageError(
                f"{self.path} holds pairs that were made with other settings "
                f"({_differences(before, settings)}). Choose another --output, or give "
                "--overwrite: kept answers and scores that fit are used again."
            )
        if before is None:
            self._note({})

    def _note(self, settings: Mapping[str, Any]) -> None:
        text = json.dumps({"made_by": _MADE_BY, "settings": settings}, indent=1) + "\n"
        self._write("made/record.json", text)

    @property
    def unread_scores(self) -> list[Path]:
        """Scores that versions before the first release kept here; they are not read."""
        return sorted(self._made.glob("scores-*.jsonl"))

    def write_answers(self, model: str, answered: Iterable[AnsweredPrompt]) -> None:
        """Keep the answers of a model beside the data set, for people and ``--answers``."""
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in model)
        staged = self._made / f".answers-{name}.jsonl.part"
        try:
            write_answers(staged, answered)
            staged.replace(self._made / f"answers-{name}.jsonl")
        except OSError as error:
            raise StoreError(f"{self.path}: answers cannot be written: {error}") from error

    def write(
        self,
        rows: Sequence[Mapping[str, Any]],
        card: str,
        form: FileForm,
        settings: Mapping[str, Any],
    ) -> Path:
        """Write rows and card in one step each, and return the file of the rows."""
        target = self.path / f"train.{form}"
        self._note({})  # until all of it is there
        if form == "jsonl":
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            self._write(target.name, "".join(lines))
        else:
            self._write_parquet(target, rows)
        for other in ("jsonl", "parquet"):
            if other != form:
                (self.path / f"train.{other}").unlink(missing_ok=True)
        self._write("README.md", card)
        self._note(settings)
        return target

    def _write_parquet(self, target: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow
        import pyarrow.parquet

        staged = target.with_name(f".{target.name}.part")
        try:
            # Arrow takes the names of columns from the first row alone.
            names = dict.fromkeys(name for row in rows for name in row)
            whole = [{name: row.get(name) for name in names} for row in rows]
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(whole), staged)
            staged.replace(target)
        except pyarrow.ArrowException as error:
            raise DataError(
                f"The columns of the rows do not fit into Parquet: {error}. Use --write jsonl."
            ) from error
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error}") from error

    def _write(self, name: str, text: str) -> None:
        try:
            write_whole(self.path / name, text)
        except OSError as error:
            raise StoreError(f"{self.path / name} cannot be written: {error}") from error


def _is_free(path: Path) -> bool:
    """Return whether nothing is there, or a folder with nothing but a log."""
    if not path.is_dir():
        return not path.exists()
    return all(each.name == _LOG for each in path.iterdir())


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the settings that differ."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(sorted(names))
