"""From answers of several models to rows."""

from collections import Counter
from collections.abc import Sequence

from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.generation.answers import Answer, AnsweredPrompt
from tgdpo_core.generation.prompts import columns_of
from tgdpo_core.pairing.gathering import (
    NO_ANSWERS,
    REPEATED,
    SEVERAL_MESSAGES,
    Gathered,
)
from tgdpo_core.pairing.making import MadePairs, make_pairs
from tgdpo_core.pairing.rules import Rule
from tgdpo_core.plugin_api.judges import Generation, Verdict

CHAT = [{"role": "user", "content": "hi"}]


def answered(prompt: object, *texts: str, **columns: object) -> AnsweredPrompt:
    answers = tuple(Answer(text, True, len(text) + 1, i) for i, text in enumerate(texts))
    return AnsweredPrompt(prompt, answers, columns)


def by_length(answers: Sequence[Sequence[Generation]]) -> list[list[Verdict]]:
    return [[float(len(item.response)) for item in some] for some in answers]


def made(gathered: Gathered, rule: Rule | None = None) -> MadePairs:
    questions = list(gathered.questions.values())
    return make_pairs(questions, by_length, rule or Rule(), only_finished=True)


def test_answers_of_several_models_compete_and_rows_say_whose_they_are() -> None:
    gathered = Gathered()
    gathered.add_model("small", [answered(CHAT, "a", "bb", topic="tea")])
    gathered.add_model("large", [answered(CHAT, "cccc")])
    (row,) = made(gathered).rows
    assert row["chosen"] == [{"role": "assistant", "content": "cccc"}]
    assert row["rejected"] == [{"role": "assistant", "content": "a"}]
    said = {name: row[name] for name in row if name.startswith(("chosen_", "rejected_"))}
    assert said == {
        "chosen_score": 4.0,
        "chosen_rank": 1,
        "chosen_model": "large",
        "chosen_seed": 0,
        "chosen_tokens": 5,
        "chosen_finished": True,
        "rejected_score": 1.0,
        "rejected_rank": 3,
        "rejected_model": "small",
        "rejected_seed": 0,
        "rejected_tokens": 2,
        "rejected_finished": True,
    }
    assert (row["topic"], row["num_answers"]) == ("tea", 3)


def test_text_prompts_have_text_responses() -> None:
    gathered = Gathered()
    gathered.add_model("m", [answered("Say", " a", " bb")])
    (row,) = made(gathered).rows
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("Say", " bb", " a")


def test_rows_are_read_for_training_as_they_stand() -> None:
    gathered = Gathered()
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    row = PreferencePair(CHAT, [], [], where="row", tools=tools)
    columns = columns_of(row)
    gathered.add_model("m", [AnsweredPrompt(CHAT, answered("", "a", "bb").answers, columns)])
    report = DataReport("made")
    (pair,) = parse_rows([("row 1", row) for row in made(gathered).rows], report)
    assert not report.problems
    assert pair.tools == tools
    assert pair.columns["chosen_score"] == 2.0


def test_given_responses_compete_with_the_model() -> None:
    pairs = [
        PreferencePair(CHAT, [{"role": "assistant", "content": "given!"}], [], where="1"),
        PreferencePair("nobody answered", "a", "b", where="2"),
    ]
    gathered = Gathered()
    gathered.add_model("m", [answered(CHAT, "a", "bb")])
    gathered.add_given(pairs)
    result = made(gathered)
    assert result.rows[0]["chosen_model"] == "given chosen"
    assert result.rows[0]["chosen_tokens"] is None
    assert gathered.notes == Counter({NO_ANSWERS: 1, SEVERAL_MESSAGES: 1})
    assert result.finished == {"m": 1.0}  # of what was drawn


def test_a_prompt_given_twice_counts_once() -> None:
    gathered = Gathered()
    gathered.add_model("m", [answered("p", "a", "bb"), answered("p", "a", "bb")])
    assert len(made(gathered).rows) == 1
    assert gathered.notes == Counter({REPEATED: 1})


def test_columns_of_rows_that_were_made_before_are_replaced_and_named() -> None:
    gathered = Gathered()
    gathered.add_model("m", [answered("p", "a", "bb", chosen_score=9.0, source="web")])
    result = made(gathered)
    assert (result.rows[0]["chosen_score"], result.rows[0]["source"]) == (2.0, "web")
    assert result.replaced == ["chosen_score"]


def test_everything_that_is_left_out_is_counted() -> None:
    gathered = Gathered()
    cut = Answer("cut", False, 9, 1)
    gathered.add_model(
        "m",
        [
            AnsweredPrompt("p1", (*answered("", "a", "bb", "a ", "").answers, cut), {}),
            answered("p2", "a", "b"),
            answered("p3", "a", "a"),
        ],
    )
    result = made(gathered)
    assert (result.num_prompts, result.num_answers, len(result.rows)) == (3, 9, 1)
    assert result.answers_left_out == Counter(duplicate=2, empty=1, unfinished=1)
    assert result.prompts_left_out == Counter({"tie": 1, "fewer than two answers": 1})
    assert result.gaps == [1.0]
