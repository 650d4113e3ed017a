"""The judge and the token reward `rules`."""

import pytest

from tgdpo_core import Generation, Unjudged
from tgdpo_core.testing import make_examples
from tgdpo_plugins.judges.rules import Rules
from tgdpo_plugins.token_rewards.rules import RulesReward

NO_COMMA = {"id": "punctuation:no_comma"}
SHORT = {"id": "length_constraints:number_words", "num_words": 3, "relation": "at most"}
TITLE = {"id": "detectable_format:title"}


def row(*instructions):
    ids = [each["id"] for each in instructions]
    return {
        "instruction_id_list": ids,
        "kwargs": [{k: v for k, v in each.items() if k != "id"} for each in instructions],
    }


BATCH = [
    Generation("p", "a b", row(NO_COMMA, SHORT)),
    Generation("p", "a, b", row(NO_COMMA, SHORT)),
    Generation("p", "Sure, see:\na", row(NO_COMMA)),
    Generation("p", "", row(NO_COMMA)),
    Generation("p", "a"),
]
NO_ROW = Unjudged("a row without instructions")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 0, 0, 0, NO_ROW]),
        ({"accuracy": "loose"}, [1, 0, 1, 0, NO_ROW]),
        ({"scores": "share"}, [1, 0.5, 0, 0, NO_ROW]),
        ({"rules": [TITLE]}, [0, 0, 0, 0, 0]),
    ],
)
def test_answers_are_scored_by_their_rows_or_by_one_rule_for_all(options, expected):
    assert Rules(**options).score(BATCH) == expected


def test_the_four_accuracies_of_ifeval_are_recorded():
    judge = Rules()
    judge.score(BATCH)
    record = judge.record()
    assert (record["prompts"], record["instructions"]) == (4, 6)
    assert record["prompt_strict_accuracy"] == 1 / 4
    assert record["prompt_loose_accuracy"] == 2 / 4
    assert record["instruction_strict_accuracy"] == 3 / 6
    assert record["instruction_loose_accuracy"] == 4 / 6
    no_comma = record["by_instruction"]["punctuation:no_comma"]
    assert no_comma == {"asked": 4, "strict": 1, "loose": 2}


def test_what_breaks_a_rule_is_an_error_span():
    assert Rules().error_spans(BATCH) == [[], [(1, 2)], [(4, 5)], [(0, 0)], []]
    assert Rules().error_spans([Generation("p", "a")]) is None  # it cannot tell


def test_a_row_that_names_no_instruction_is_refused_with_its_prompt():
    bad = Generation("Write a poem.", "a", {"instruction_id_list": ["x"], "kwargs": [{}]})
    with pytest.raises(ValueError, match=r"the prompt 'Write a poem.': unknown instruction 'x'"):
        Rules().score([bad])


def test_columns_are_refused_by_the_names_that_the_options_give_them():
    judge = Rules(ids_column="ids", arguments_column="args")
    for columns, said in [({"ids": "x"}, "'ids'"), ({"ids": ["x"], "args": "y"}, "'args'")]:
        with pytest.raises(ValueError, match=f"the prompt 'p': the column {said} must hold a list"):
            judge.score([Generation("p", "a", columns)])


def test_an_answer_is_not_scored_by_an_argument_that_is_wrong():
    wrong = {"id": "language:response_language", "language": "english"}
    with pytest.raises(ValueError, match=r"the prompt 'p': .*: language must be a code"):
        Rules().score([Generation("p", "A plain English sentence.", row(wrong))])
    with pytest.raises(ValueError, match="language must be a code"):
        Rules(rules=[wrong])


@pytest.mark.parametrize("scores", ["all", "share"])
@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_answer_follows_nothing_and_is_counted_as_in_ifeval(empty, scores):
    judge = Rules(scores=scores)
    assert judge.score([Generation("p", empty, row(NO_COMMA, SHORT))]) == [0]
    assert judge.record()["prompts"] == 1


def test_without_its_package_a_language_is_refused_and_not_guessed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    judge = Rules(rules=[{"id": "language:response_language", "language": "de"}])
    with pytest.raises(ValueError, match=r"pip install 'tgdpo\[rules\]'"):
        judge.validate()
    with pytest.raises(ValueError, match=r"pip install 'tgdpo\[rules\]'"):
        judge.score([Generation("p", "ein Satz")])
    Rules(rules=[NO_COMMA]).validate()


def of(example, reward):
    from tgdpo_core.data.alignment import project

    spans = reward.score([example])[0]
    values = project(spans, example.offsets, len(example.response))
    return {
        (example.response[a:b] or "EOS"): round(float(v), 6)
        for (a, b), v in zip(example.offsets, values, strict=True)
        if v
    }


ROWS = [{"prompt": "p ", "chosen": "a, b c d", "rejected": "a", **row(NO_COMMA, SHORT, TITLE)}]
NEEDS = ("column:instruction_id_list", "column:kwargs")


def test_the_token_reward_lies_on_what_breaks_a_rule_and_its_end_on_eos():
    chosen, rejected = make_examples(ROWS, needs=NEEDS)
    assert of(chosen, RulesReward()) == {",": -1, "d": -1, "EOS": -1}
    assert of(rejected, RulesReward(penalty=0.5)) == {"EOS": -0.5}
    assert RulesReward().required() == NEEDS
    assert RulesReward(rules=[TITLE]).required() == ()


def test_behind_a_chat_template_the_end_is_its_closing_mark():
    from tgdpo_core.testing import make_tokenizer

    tokenizer = make_tokenizer()
    chat = tokenizer.__class__(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>")
    chat.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}</s>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    answer = [{"role": "assistant", "content": "a, b"}]
    rows = [
        {
            "prompt": [{"role": "user", "content": "p"}],
            "chosen": answer,
            "rejected": [{"role": "assistant", "content": "<<t>>"}],
        }
    ]
    chosen, rejected = make_examples(rows, tokenizer=chat)
    reward = RulesReward(rules=[NO_COMMA, TITLE])
    assert of(chosen, reward) == {",": -1, "</s>": -1}
    assert of(rejected, reward) == {}


def test_a_truncated_response_is_judged_in_full_and_has_no_end():
    import dataclasses

    chosen, _ = make_examples(ROWS, needs=NEEDS)
    cut = dataclasses.replace(
        chosen,
        response=chosen.response[:4],
        response_ids=chosen.response_ids[:3],
        offsets=[o for o in chosen.offsets if o[1] <= 4][:3],
    )
    assert cut.is_cut
    assert of(cut, RulesReward()) == {",": -1}
