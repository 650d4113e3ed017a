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
ONE_ORDER = "no verdict in one order"
UNREADABLE_ORDER = "unreadable score in one order"
OUTSIDE = "score outside 1 to 10, counted"
NO_TEXT = "an answer that is no text"
NO_SHARE = "glm_preference that is no share"
ARENA_V01_BASELINE = "gpt-4-0314"
ARENA_STRONG_WEIGHT = 3
MT_BENCH_SCALE = (1, 10)

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
_Game = tuple[float, bool] | RowProblem | None


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
    question = text_of(row, "instruction")
    is_named = row.get("annotator") not in (None, "")
    judge = text_of(row, "annotator") if is_named else "not named"
    texts = {model: row.get("output_2"), other: row.get("output_1")}
    if not all(isinstance(text, str) for text in texts.values()):
        note(NO_TEXT)
    controlled = _share(row.get("glm_preference"))
    if controlled is None and row.get("glm_preference") is not None:
        note(NO_SHARE)
    return Compared(
        question=question,
        judge=judge,
        model=model,
        other=other,
        category=row["dataset"] if isinstance(row.get("dataset"), str) else None,
        either_first=value,
        controlled=controlled,
        texts={name: text for name, text in texts.items() if isinstance(text, str)},
    )


def _share(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None


def mt_bench(row: Mapping[str, Any], note: Callable[[str], None]) -> Compared | Graded:
    """Return a row of FastChat's ``JUDGE_single.jsonl`` or ``JUDGE_pair.jsonl``."""
    is_pair = "g1_winner" in row or "g2_winner" in row
    return _mt_bench_pair(row, note) if is_pair else _mt_bench_single(row, note)


def _mt_bench_single(row: Mapping[str, Any], note: Callable[[str], None]) -> Graded:
    """Take a score as FastChat does, which counts those outside its scale, too; they are noted."""
    score = number_of(row, "score")
    if score == -1:
        raise RowProblem(NO_VERDICT, "'score' is -1: FastChat found none in the judge's reply")
    graded = Graded(
        question=id_of(row, "question_id"),
        judge=_judge(row),
        model=text_of(row, "model"),
        turn=_turn(row),
        score=score,
    )
    if not MT_BENCH_SCALE[0] <= score <= MT_BENCH_SCALE[1]:
        note(OUTSIDE)
    return graded


def _mt_bench_pair(row: Mapping[str, Any], note: Callable[[str], None]) -> Compared:
    """Game 1 shows model_1 first, game 2 shows model_2 first."""
    values = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5, "error": None}
    winners = [row.get("g1_winner"), row.get("g2_winner")]
    for each in winners:
        if not isinstance(each, str) or each not in values:
            raise RowProblem(
                "winner", f"a winner must be one of {list(values)}, found {each!r:.60}"
            )
    if winners == ["error", "error"]:
        raise RowProblem(NO_VERDICT, "both games ended in an error")
    compared = Compared(
        question=id_of(row, "question_id"),
        judge=_judge(row),
        model=text_of(row, "model_1"),
        other=text_of(row, "model_2"),
        turn=_turn(row),
        model_first=values[str(winners[0])],
        other_first=values[str(winners[1])],
    )
    if "error" in winners:
        note(ONE_ORDER)
    return compared


def arena_hard(baseline: str) -> Parser:
    """Return what reads Arena-Hard's ``model_judgment/JUDGE/MODEL.jsonl``, of v0.1 or v2.

    Args:
        baseline: the model that answers are compared with, where rows do not name it (v0.1).
    """

    def parse(row: Mapping[str, Any], note: Callable[[str], None]) -> Compared:
        """In game 1 the baseline is A, in game 2 the model."""
        games = _arena_games(row.get("games"))
        first, second = (*(each if isinstance(each, tuple) else None for each in games), None)[:2]
        is_v2 = "uid" in row
        is_named = is_v2 or row.get("baseline") is not None
        compared = Compared(
            question=id_of(row, "uid" if is_v2 else "question_id"),
            judge=text_of(row, "judge"),
            model=text_of(row, "model"),
            other=text_of(row, "baseline") if is_named else baseline,
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
        for each in games:
            if not isinstance(each, tuple):
                note(ONE_ORDER if each is None else UNREADABLE_ORDER)
        return compared

    return parse


def _arena_games(games: Any) -> list[_Game]:
    """Return what each game says.

    Raises:
        RowProblem: there are no games, or none of them has a verdict.
    """
    if not isinstance(games, list) or not 1 <= len(games) <= 2:
        raise RowProblem("games", f"'games' must be a list of one or two, found {games!r:.60}")
    found = [_arena_game(game) for game in games]
    if not any(isinstance(each, tuple) for each in found):
        nothing = RowProblem(NO_VERDICT, "no game has a verdict")
        raise next((each for each in found if isinstance(each, RowProblem)), nothing)
    return found


def _arena_game(game: Any) -> _Game:
    """Return the meaning of a game's label; None: it has none; a problem: it is none of ours."""
    label = game.get("score") if isinstance(game, Mapping) else game
    if label is None:
        return None
    if isinstance(game, Mapping) and isinstance(label, str) and label in _ARENA_LABELS:
        return _ARENA_LABELS[label]
    return RowProblem("score", f"a score must be A>>B, A>B, A=B, B>A or B>>A, found {label!r:.60}")


def _judge(row: Mapping[str, Any]) -> str:
    """Return the name of the judge; its prompt differs by turn and category."""
    judge = row.get("judge")
    name = judge[0] if isinstance(judge, list) and judge else judge
    if not isinstance(name, str) or not name:
        raise RowProblem("judge", f"'judge' must be a name or [name, prompt], found {judge!r:.60}")
    return name


def _turn(row: Mapping[str, Any]) -> int:
    turn = row.get("turn")
    if isinstance(turn, bool) or turn not in (1, 2):
        raise RowProblem("turn", f"'turn' must be 1 or 2, found {turn!r:.60}")
    return int(turn)
