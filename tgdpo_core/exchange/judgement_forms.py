"""How each tool writes a judgement: one row of its file as one of ours."""

from collections.abc import Callable, Mapping
from typing import Any

from tgdpo_core.data.report import RowProblem
from tgdpo_core.exchange.judgements import (
    Compared,
    Graded,
    Parser,
    id_of,
    number_of,
    text_of,
)

NO_VERDICT = "no verdict"
ARENA_V01_BASELINE = "gpt-4-0314"
ARENA_STRONG_WEIGHT = 3

# How surely A is the better one, and whether it is better by much.
_ARENA_LABELS: Mapping[str, tuple[float, bool]] = {
    "A>>B": (1.0, True),
    "A>B": (1.0, False),
    "A=B": (0.5, False),
    "B>A": (0.0, False),
    "B>>A": (0.0, True),
    "B<<A": (1.0, True),
    "B<A": (1.0, False),
    "B=A": (0.5, False),
    "A<B": (0.0, False),
    "A<<B": (0.0, True),
}


def alpaca_eval(row: Mapping[str, Any], note: Callable[[str], None]) -> Compared:
    """Return a row of AlpacaEval's ``annotations.json``.

    ``preference`` is 1 where output_1 is the better one, 2 for output_2, anything between for how
    surely; 1.5, and 0 of older files, is a tie. AlpacaEval shows the two in one random order.
    """
    if row.get("preference") is None or row["preference"] != row["preference"]:
        raise RowProblem(NO_VERDICT, "'preference' is null: the judge gave none")
    preference = number_of(row, "preference")
    value = 0.5 if preference == 0 else preference - 1
    if not 0 <= value <= 1:
        raise RowProblem("preference", f"'preference' must be 0 or 1 to 2, found {preference:g}")
    model, other = text_of(row, "generator_2"), text_of(row, "generator_1")
    texts = {model: row.get("output_2"), other: row.get("output_1")}
    return Compared(
        question=text_of(row, "instruction"),
        judge=str(row.get("annotator") or "not named"),
        model=model,
        other=other,
        category=row["dataset"] if isinstance(row.get("dataset"), str) else None,
        either_first=value,
        controlled=_share(row.get("glm_preference")),
        texts={name: text for name, text in texts.items() if isinstance(text, str)},
    )


def _share(value: Any) -> float | None:
    is_share = isinstance(value, int | float) and 0 <= value <= 1
    return float(value) if is_share else None


def mt_bench(row: Mapping[str, Any], note: Callable[[str], None]) -> Compared | Graded:
    """Return a row of FastChat's ``JUDGE_single.jsonl`` or ``JUDGE_pair.jsonl``."""
    return _mt_bench_pair(row, note) if "g1_winner" in row else _mt_bench_single(row)


def _mt_bench_single(row: Mapping[str, Any]) -> Graded:
    score = number_of(row, "score")
    if score == -1:
        raise RowProblem(NO_VERDICT, "'score' is -1: FastChat found none in the judge's reply")
    return Graded(
        question=id_of(row, "question_id"),
        judge=_judge(row),
        model=text_of(row, "model"),
        turn=_turn(row),
        score=score,
    )


def _mt_bench_pair(row: Mapping[str, Any], note: Callable[[str], None]) -> Compared:
    """Game 1 shows model_1 first, game 2 shows model_2 first."""
    values = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5, "error": None}
    winners = [row.get("g1_winner"), row.get("g2_winner")]
    if unknown := [each for each in winners if each not in values]:
        raise RowProblem("winner", f"a winner must be one of {list(values)}, found {unknown[0]!r}")
    if winners == ["error", "error"]:
        raise RowProblem(NO_VERDICT, "both games ended in an error")
    if "error" in winners:
        note("no verdict in one order")
    return Compared(
        question=id_of(row, "question_id"),
        judge=_judge(row),
        model=text_of(row, "model_1"),
        other=text_of(row, "model_2"),
        turn=_turn(row),
        model_first=values[str(winners[0])],
        other_first=values[str(winners[1])],
    )


def arena_hard(baseline: str) -> Parser:
    """Return what reads Arena-Hard's ``model_judgment/JUDGE/MODEL.jsonl``, of v0.1 or v2.

    Args:
        baseline: the model that answers are compared with, where rows do not name it (v0.1).
    """

    def parse(row: Mapping[str, Any], note: Callable[[str], None]) -> Compared:
        """In game 1 the baseline is A, in game 2 the model."""
        games = row.get("games")
        if not isinstance(games, list) or not 1 <= len(games) <= 2:
            raise RowProblem("games", f"'games' must be a list of one or two, found {games!r:.60}")
        verdicts = [_arena_game(game) for game in games]
        if all(verdict is None for verdict in verdicts):
            raise RowProblem(NO_VERDICT, "no game has a verdict")
        if len(verdicts) == 2 and None in verdicts:
            note("no verdict in one order")
        first, second = (*verdicts, None)[:2]
        is_v2 = "uid" in row
        return Compared(
            question=id_of(row, "uid" if is_v2 else "question_id"),
            judge=text_of(row, "judge"),
            model=text_of(row, "model"),
            other=str(row.get("baseline") or baseline),
            category=text_of(row, "category") if is_v2 else None,
            version="v2" if is_v2 else "v0.1",
            other_first=1 - first[0] if first else None,
            model_first=second[0] if second else None,
            weights={
                name: ARENA_STRONG_WEIGHT
                for name, verdict in (("other_first", first), ("model_first", second))
                if verdict and verdict[1]
            },
        )

    return parse


def _arena_game(game: Any) -> tuple[float, bool] | None:
    label = game.get("score") if isinstance(game, Mapping) else None
    if label is None:
        return None
    if label not in _ARENA_LABELS:
        raise RowProblem("score", f"a score must be A>>B, A>B, A=B, B>A or B>>A, found {label!r}")
    return _ARENA_LABELS[label]


def _judge(row: Mapping[str, Any]) -> str:
    """Return the name of the judge; its prompt differs by turn and category."""
    judge = row.get("judge")
    name = judge[0] if isinstance(judge, list) and judge else judge
    if not isinstance(name, str):
        raise RowProblem("judge", f"'judge' must be a name or [name, prompt], found {judge!r:.60}")
    return name


def _turn(row: Mapping[str, Any]) -> int:
    turn = row.get("turn", 1)
    if turn not in (1, 2):
        raise RowProblem("turn", f"'turn' must be 1 or 2, found {turn!r:.60}")
    return int(turn)
