import pytest

from tgdpo_core import Comparison, Generation, Unjudged
from tgdpo_plugins.judges.llm import templates
from tgdpo_plugins.judges.llm.conversation import Turn, conversation_of
from tgdpo_plugins.judges.llm.judge import LLMJudge

TWO_TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "First question?"},
    {"role": "assistant", "content": "First answer."},
    {"role": "user", "content": "Second question?"},
]
SHIPPED = [
    ("mt-bench", "single"),
    ("mt-bench", "pairwise"),
    ("arena-hard", "pairwise"),
    ("alpaca-eval", "pairwise"),
]


def judge(**options):
    made = LLMJudge(url="http://localhost:1/v1", model="m", **options)
    made._template = made._read_template()
    return made


def text_of(request):
    return "\n".join(message["content"] for message in request["messages"])


def test_messages_become_turns():
    shown = conversation_of(Generation(TWO_TURNS, "Second answer."), "reference")
    assert shown.system == "Be brief."
    assert shown.turns == (
        Turn("First question?", "First answer."),
        Turn("Second question?", "Second answer."),
    )


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ([{"role": "user", "content": [{"type": "image"}]}], "not all text"),
        ([{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}], "role tool"),
        ([{"role": "assistant", "content": "a"}], "role assistant"),
        (TWO_TURNS[:3], "does not end with a user message"),
        ([], "does not end with a user message"),
    ],
)
def test_a_prompt_that_cannot_be_shown_is_unjudged(prompt, reason):
    found = conversation_of(Generation(prompt, "x"), "reference")
    assert isinstance(found, Unjudged)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("value", "references"),
    [
        (None, ("", "")),
        ("R", ("", "R")),
        (["R1"], ("R1", "")),
        (["R1", "R2"], ("R1", "R2")),
        (["R1", "R2", "R3"], ("R1", "R2")),
        ([], ("", "")),
    ],
)
def test_reference_answers_belong_to_turns(value, references):
    item = Generation(TWO_TURNS, "x", {"reference": value})
    assert conversation_of(item, "reference").references == references


def test_a_column_that_holds_no_reference_answers_is_refused():
    with pytest.raises(ValueError, match="the column 'reference' must hold a reference answer"):
        conversation_of(Generation("q", "a", {"reference": {"a": 1}}), "reference")


@pytest.mark.parametrize(("style", "mode"), SHIPPED)
@pytest.mark.parametrize("prompt", ["One question?", TWO_TURNS])
@pytest.mark.parametrize("columns", [{}, {"reference": "THE REFERENCE"}])
def test_a_shipped_prompt_shows_everything_once_and_in_order(style, mode, prompt, columns):
    made = judge(style=style, mode=mode)
    a, b = (Generation(prompt, f"ANSWER {name} {{{{ x }}}}", columns) for name in "AB")
    request = made._grading(a) if mode == "single" else made._comparing(Comparison(a, b))
    text = text_of(request)
    assert text.count("ANSWER A {{ x }}") == 1  # what is judged is no template
    assert ("THE REFERENCE" in text) == bool(columns)
    assert ("Second question?" if prompt is TWO_TURNS else "One question?") in text
    assert ("Be brief." in text) == (prompt is TWO_TURNS)
    if mode == "pairwise":
        assert 0 < text.index("ANSWER A") < text.index("ANSWER B")
    if prompt is TWO_TURNS:
        assert text.index("First question?") < text.index("Second question?")
    assert "\n\n\n" not in text
    assert [m["role"] for m in request["messages"]] == ["system", "user"]


@pytest.mark.parametrize(("style", "mode"), SHIPPED)
def test_a_shipped_prompt_asks_for_the_verdict_in_the_form_that_is_read(style, mode):
    marks = {
        "rating": ["[[5]]"],
        "letters": ["[[A]]", "[[B]]", "[[C]]"],
        "scale": ["[[A>>B]]", "[[A>B]]", "[[A=B]]", "[[B>A]]", "[[B>>A]]"],
        "names": ["m or M"],
    }
    made = judge(style=style, mode=mode)
    text = text_of({"messages": made._template.messages(templates.example(mode))})
    assert all(mark in text for mark in marks[made._rule])


def test_what_is_sent_is_recorded_options_and_nothing_random():
    made = judge(body={"reasoning_effort": "low"}, max_tokens=5)
    request = made._grading(Generation("q", "a"))
    assert {k: v for k, v in request.items() if k != "messages"} == {
        "model": "m",
        "temperature": 0.0,
        "seed": 0,
        "max_tokens": 5,
        "reasoning_effort": "low",
    }


def test_a_users_own_prompt_is_used(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("=== user\nWhich one? {{ answer_a }} | {{ answer_b }} [[A]] [[B]]\n")
    made = judge(mode="pairwise", template=str(file))
    made.validate()
    request = made._comparing(Comparison(Generation("q", "one"), Generation("q", "two")))
    assert request["messages"] == [{"role": "user", "content": "Which one? one | two [[A]] [[B]]"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Which one?", "has no user message: write a line '=== user'"),
        ("=== system\nx", "has no user message"),
        ("=== user\n{{ answr }}", "'answr' is undefined. It may use answer, has_references"),
        ("=== user\n{% if %}", "Expected an expression"),
        ("=== user\n{{ turns[7].question }}", "no element 7"),
    ],
)
def test_a_prompt_that_cannot_be_filled_is_refused_before_anything_is_asked(tmp_path, text, said):
    file = tmp_path / "mine.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"template .*mine") as error:
        judge(template=str(file)).validate()
    assert said in str(error.value)


def test_a_prompt_file_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="No such file"):
        LLMJudge(url="http://x/v1", model="m", template="/nowhere").validate()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"style": "arena-hard"}, "add mode=pairwise"),
        ({"verdict": "letters"}, "does not go with mode=single"),
        ({"mode": "pairwise", "verdict": "rating"}, "does not go with mode=pairwise"),
        ({"logprobs": True}, "style=alpaca-eval"),
        ({"slight": 0.5}, "slight must be above 0.5"),
        ({"concurrency": 0}, "concurrency must be above 0"),
        ({"max_tokens": 0}, "max_tokens must be above 0"),
        ({"url": "localhost"}, "url must be an address"),
        ({"url": "http://me:secret@host/v1"}, "TGDPO_JUDGE_KEY"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, said):
    with pytest.raises(ValueError, match=r"\w") as error:
        LLMJudge(**{"url": "http://x/v1", "model": "m", **options})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h:8000", "http://h:8000/v1/chat/completions"),
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("https://h/openai/v1/", "https://h/openai/v1/chat/completions"),
        ("http://h/x/chat/completions", "http://h/x/chat/completions"),
    ],
)
def test_an_address_is_completed(url, address):
    assert LLMJudge(url=url, model="m")._address == address


@pytest.mark.parametrize(("mode", "reads"), [("single", "answers"), ("pairwise", "comparisons")])
def test_the_mode_says_what_is_read(mode, reads):
    assert LLMJudge(url="http://x/v1", model="m", mode=mode).reads == reads
