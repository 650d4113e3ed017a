"""The judges that a command line names, and asking them."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.main import Session
from tgdpo_cli.recipe_options import key_value

if TYPE_CHECKING:
    from tgdpo_core.evaluation.opinions import AskedJudge
    from tgdpo_core.plugin_api.registered import Registered

_LONGEST_NAME = 100


@dataclass(frozen=True)
class ChosenJudge:
    """A judge as the command line names it.

    Attributes:
        name: how tables call it.
        found: the plugin.
        instance: made of its options.
        arguments: as they were given.
    """

    name: str
    found: "Registered"
    instance: Any
    arguments: Mapping[str, str]

    @functools.cached_property
    def identity(self) -> Mapping[str, Any]:
        """JSON of what decides its numbers; files that it names are hashed once."""
        from tgdpo_core.evaluation.opinions import judge_identity

        return judge_identity(self.found, self.instance)


def chosen_judges(
    session: Session, judges: Sequence[str], arguments: Sequence[str]
) -> list[ChosenJudge]:
    """Return the judges of ``--judge`` with their ``--judge-arg``.

    ``--judge NAME`` or ``--judge OWN=NAME``; with several judges an argument is ``OWN.KEY=VALUE``.

    Raises:
        UsageError: of click: two of one name, or an argument that belongs to none of them.
    """
    named: dict[str, str] = {}
    for text in judges:
        own, _, plugin = text.partition("=")
        if not own.strip(".") or set(own) & {"/", "\\", "\0"} or len(own) > _LONGEST_NAME:
            raise click.UsageError(
                f"--judge {text}: '{own:.40}' is to name files and columns. A name has no slash, "
                f"not dots alone, and {_LONGEST_NAME} characters at most."
            )
        if own in named:
            raise click.UsageError(
                f"--judge {text}: '{own}' was there before. Two judges of one kind have names of "
                f"their own: --judge first={plugin or own} --judge second={plugin or own}"
            )
        named[own] = plugin or own
    given: dict[str, dict[str, str]] = {name: {} for name in named}
    for text in arguments:
        key, value = key_value(text, "--judge-arg")
        owner, _, option = key.partition(".")
        if option and owner in given:
            given[owner][option] = value
        elif len(named) == 1:
            next(iter(given.values()))[key] = value
        else:
            raise click.UsageError(
                f"--judge-arg {text}: which judge's? Write JUDGE.KEY=VALUE; they are "
                f"{', '.join(named)}."
            )
    return [_chosen(session, name, plugin, given[name]) for name, plugin in named.items()]


def _chosen(session: Session, name: str, plugin: str, arguments: dict[str, str]) -> ChosenJudge:
    from tgdpo_core.scoring.sources import validate_options

    found = session.plugins.find("judge", plugin)
    instance = found.create(arguments)
    validate_options(str(found), instance.validate)
    return ChosenJudge(name, found, instance, arguments)


@contextlib.contextmanager
def set_up(
    judges: Sequence[ChosenJudge], *, together: int | None = None
) -> "Iterator[list[AskedJudge]]":
    """Yield the judges, set up; tear them down whatever happens.

    Args:
        judges: which ones.
        together: answers or comparisons that each is asked about at once; None: the usual number.
    """
    from tgdpo_core.evaluation.opinions import AskedJudge
    from tgdpo_core.evaluation.verdicts import NamedJudge
    from tgdpo_core.scoring.guard import call_plugin

    number = AskedJudge.together if together is None else together
    with contextlib.ExitStack() as stack:
        asked = []
        for each in judges:
            who, instance = f"judge '{each.name}'", each.instance
            settings = {"judge": each.found.name, "options": instance.options()}
            named = NamedJudge(each.name, instance.reads, settings)
            asked.append(AskedJudge(named, instance, each.identity, number))
            stack.callback(call_plugin, who, "teardown", instance.teardown)
            call_plugin(who, "setup", instance.setup)
        yield asked


def counted(judge: "AskedJudge", record: Mapping[str, Any]) -> str:
    """Return a sentence: how often a judge was asked, and what it cost where it says so.

    Args:
        judge: after it was asked.
        record: what it says of itself.
    """
    name, counts, reads = judge.named.name, judge.counts, judge.named.reads
    parts = [f"asked about {counts.asked} {reads}"]
    if "calls" in record and record["calls"] != counts.asked:
        parts.append(f"{record['calls']} calls")
    if counts.kept:
        parts.append(f"{counts.kept} known from before")
    if counts.identical:
        parts.append(f"{counts.identical} comparisons of equal answers are ties")
    if counts.unfinished:
        parts.append(f"{counts.unfinished} {reads} decided by how unfinished answers count")
    if counts.unjudged:
        parts.append(f"{sum(counts.unjudged.values())} unjudged")
    if cost := record.get("cost"):
        parts.append(f"cost {cost}")
    return f"{name}: {', '.join(parts)}."
