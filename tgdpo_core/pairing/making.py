"""From answers to the rows of a preference data set; nothing is read or written here."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tgdpo_core.pairing.candidates import Candidate, comparable, with_scores
from tgdpo_core.pairing.gathering import Question
from tgdpo_core.pairing.rules import ChosenPair, Rule, choose_pairs, ranks
from tgdpo_core.plugin_api.judges import Generation, Verdict

AskAll = Callable[[Sequence[Sequence[Generation]]], Sequence[Sequence[Verdict]]]
"""Returns the verdicts on the answers to each of several prompts."""

OF_SIDES = ("score", "rank", "model", "seed", "tokens", "finished")
"""What a row says of chosen and of rejected: columns ``chosen_score``, ``rejected_score``, .."""

COLUMNS = (
    *(f"{side}_{name}" for side in ("chosen", "rejected") for name in OF_SIDES),
    "prompt_id",
    "num_answers",
)
"""The columns that are added to prompt, chosen and rejected."""


@dataclass(frozen=True)
class MadePairs:
    """A preference data set and how it came about.

    Attributes:
        rows: as ``tgdpo train`` reads them.
        num_prompts: prompts with answers.
        num_answers: answers in all.
        answers_left_out: why answers could not be compared, counted by name.
        prompts_left_out: why prompts have no pair, counted by name.
        gaps: difference of the scores of each pair.
        finished: model to the share of its answers that it ended itself.
        replaced: columns of the rows in whose place ours stand.
    """

    rows: Sequence[Mapping[str, Any]]
    num_prompts: int
    num_answers: int
    answers_left_out: Counter[str]
    prompts_left_out: Counter[str]
    gaps: Sequence[float]
    finished: Mapping[str, float]
    replaced: Sequence[str] = field(default_factory=list)


def make_pairs(
    questions: Sequence[Question], ask: AskAll, rule: Rule, *, only_finished: bool
) -> MadePairs:
    """Return the pairs that a rule makes of judged answers.

    Answers that cannot be compared (empty, equal, cut) are not shown to the judge.

    Args:
        questions: prompts with their answers.
        ask: the judge.
        rule: how pairs are chosen.
        only_finished: leave out answers that were cut.
    """
    left_out: Counter[str] = Counter()
    no_pair: Counter[str] = Counter()
    shown: list[list[Candidate]] = []
    for question in questions:
        kept, because = comparable(question.answers, only_finished=only_finished)
        left_out += because
        shown.append(kept)
    said = ask([_generations(q, kept) for q, kept in zip(questions, shown, strict=True)])
    rows: list[Mapping[str, Any]] = []
    gaps: list[float] = []
    for question, kept, verdicts in zip(questions, shown, said, strict=True):
        judged, because = with_scores(kept, verdicts)
        left_out += because
        pairs, reason = choose_pairs(judged, rule, question.key)
        if reason:
            no_pair[reason] += 1
        rows += [_row(question, pair, judged) for pair in pairs]
        gaps += [pair.gap for pair in pairs]
    names = {name for question in questions for name in question.columns}
    return MadePairs(
        rows=rows,
        num_prompts=len(questions),
        num_answers=sum(len(question.answers) for question in questions),
        answers_left_out=left_out,
        prompts_left_out=no_pair,
        gaps=gaps,
        finished=_finished(questions),
        replaced=sorted(names & {*COLUMNS, "prompt", "chosen", "rejected"}),
    )


def _generations(question: Question, answers: Iterable[Candidate]) -> list[Generation]:
    return [
        Generation(question.prompt, a.text, question.columns, a.finished, a.num_tokens)
        for a in answers
    ]


def _row(question: Question, pair: ChosenPair, judged: Sequence[Candidate]) -> dict[str, Any]:
    """Return a row: the form of its responses is that of its prompt."""
    by_rank = ranks(judged)

    def response(answer: Candidate) -> Any:
        if isinstance(question.prompt, str):
            return answer.text
        return [{"role": "assistant", "content": answer.text}]

    row = {
        **question.columns,
        "prompt": question.prompt,
        "chosen": response(pair.chosen),
        "rejected": response(pair.rejected),
        "prompt_id": question.key,
        "num_answers": len(judged),
    }
    for side, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        row |= {
            f"{side}_score": answer.score,
            f"{side}_rank": by_rank[answer.text],
            f"{side}_model": answer.source,
            f"{side}_seed": answer.seed,
            f"{side}_tokens": answer.num_tokens,
            f"{side}_finished": answer.finished,
        }
    return row


def _finished(questions: Sequence[Question]) -> dict[str, float]:
    ended: dict[str, list[bool]] = {}
    for answer in (answer for question in questions for answer in question.answers):
        if answer.num_tokens is not None:  # what rows bring was not drawn
            ended.setdefault(answer.source, []).append(answer.finished)
    return {model: sum(values) / len(values) for model, values in ended.items()}
