"""What a judge says of answers and comparisons, asked once: its numbers are kept as they come.

Every command that has answers judged comes through this door, so none asks what another one has
asked. A policy in training changes, so its answers do not.
"""

import copy
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tgdpo_core.evaluation.verdict_checks import checked_verdicts, question
from tgdpo_core.evaluation.verdicts import NamedJudge, Opinion
from tgdpo_core.models.fingerprints import model_fingerprint
from tgdpo_core.plugin_api.judges import (
    Comparison,
    Explained,
    Generation,
    Judge,
    Unjudged,
    Verdict,
)
from tgdpo_core.plugin_api.registered import Registered
from tgdpo_core.progress import stage
from tgdpo_core.scoring.guard import call_on_batch
from tgdpo_core.store.folder import canonical_hash, default_store_path, file_hash
from tgdpo_core.store.kept_replies import KeptReplies

KEPT = "judged.sqlite"
"""Where numbers are kept, in the store."""
_LONGEST = 4000  # characters of an explanation

Asked = Generation | Comparison


@dataclass
class Counts:
    """How often a judge was asked.

    Attributes:
        asked: in this call.
        kept: had been asked before.
        identical: comparisons of two equal answers: ties, about which nobody was asked.
        unfinished: not asked about, because of how unfinished answers count.
        unjudged: without a number, by reason.
    """

    asked: int = 0
    kept: int = 0
    identical: int = 0
    unfinished: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON."""
        return {**asdict(self), "unjudged": dict(sorted(self.unjudged.items()))}


@dataclass(frozen=True)
class AskedJudge:
    """A judge that is set up.

    Attributes:
        named: how the verdict names it.
        judge: the judge.
        identity: JSON of what decides its numbers, see ``judge_identity``.
        together: answers or comparisons that it is asked about at once; so many a kill can lose.
        counts: how often it was asked.
    """

    named: NamedJudge
    judge: Judge
    identity: Mapping[str, Any]
    together: int = 64
    counts: Counts = field(default_factory=Counts)

    def verdicts(self, items: Sequence[Asked]) -> list[Verdict]:
        """Return what it says of each item, in their order, without its words; see ``opinions``."""
        found = self.opinions(dict(enumerate(items)))
        return [found[number].verdict for number in range(len(items))]

    def opinions(
        self, items: Mapping[Hashable, Asked], store: Path | None = None
    ) -> dict[Any, Opinion]:
        """Return what it says of each item.

        Numbers are kept after every batch and not asked for again; what is unjudged is.

        Args:
            items: by whatever names them.
            store: folder of the store; None: the default one.

        Raises:
            PluginError: the judge failed, or returned something else than a verdict each.
            StoreError: what is kept cannot be read or written.
        """
        kept = KeptReplies((store or default_store_path()) / KEPT)
        try:
            return self._opinions(items, kept)
        finally:
            kept.close()

    def _opinions(self, items: Mapping[Hashable, Asked], kept: KeptReplies) -> dict[Any, Opinion]:
        documents = {name: self._document(item) for name, item in items.items()}
        found: dict[Hashable, Opinion] = {}
        for name, document in documents.items():
            if (reply := kept.get(document)) is not None:
                found[name] = Opinion(reply["value"], explanation=reply.get("explanation"))
        # Equal items are asked about once.
        missing: dict[str, list[Hashable]] = {}
        for name in items:
            if name not in found:
                missing.setdefault(canonical_hash(documents[name]), []).append(name)
        groups = list(missing.values())
        self.counts.kept += len(found)
        with stage(f"judge {self.named.name}", len(groups), self.judge.reads) as bar:
            for start in range(0, len(groups), self.together):
                batch = groups[start : start + self.together]
                said = self._ask([items[names[0]] for names in batch])
                kept.add_all(
                    (documents[names[0]], {"value": o.value, "explanation": o.explanation})
                    for names, o in zip(batch, said, strict=True)
                    if o.value is not None
                )
                for names, opinion in zip(batch, said, strict=True):
                    found.update(dict.fromkeys(names, opinion))
                self.counts.asked += len(batch)
                bar.update(len(batch))
        reasons = (found[name].unjudged for name in items)
        self.counts.unjudged.update(reason for reason in reasons if reason)
        return found

    def _document(self, item: Asked) -> dict[str, Any]:
        """Return JSON of everything that decides one number."""
        return {"judge": self.identity, "asked": _plain(asdict(item))}

    def _ask(self, batch: Sequence[Asked]) -> list[Opinion]:
        who = f"judge '{self.named.name}'"
        what = f"{len(batch)} {self.judge.reads}"
        said = call_on_batch(who, what, question(self.judge), copy.deepcopy(list(batch)))
        said = list(said) if isinstance(said, Sequence) else said
        checked = checked_verdicts(who, said, batch, self.judge.reads)
        words = said if isinstance(said, list) else [None] * len(checked)
        return [_opinion(each, word) for each, word in zip(checked, words, strict=True)]


def judge_identity(found: Registered, judge: Judge) -> dict[str, Any]:
    """Return JSON of what decides the numbers of a judge: its code, its options, files they name.

    A service behind a judge may change without notice: what it said is kept all the same.
    """
    options = judge.options(stored_only=True)
    return {
        "judge": found.name,
        "source": found.source,
        "version": found.version,
        "options": options,
        "files": {name: _content(value) for name, value in options.items() if _is_path(value)},
    }


def _opinion(verdict: Verdict, said: Any) -> Opinion:
    words = said.explanation if isinstance(said, Explained | Unjudged) else ""
    explanation = words[:_LONGEST] or None
    if isinstance(verdict, Unjudged):
        return Opinion(None, verdict.reason, explanation)
    return Opinion(verdict, explanation=explanation)


def _plain(value: Any) -> Any:
    """Return JSON: what JSON does not have, such as a date in a column, as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value != value:
        return "nan"
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and Path(value).expanduser().exists()


def _content(value: str) -> Any:
    """Return what names the content of a file, or of a model's folder."""
    path = Path(value).expanduser()
    if path.is_file():
        return file_hash(path)
    if (path / "config.json").exists():
        return model_fingerprint(value, with_tokenizer=True)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file_hash(file) for file in files}
