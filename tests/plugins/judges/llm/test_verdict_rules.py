import math

import pytest

from tgdpo_core import Unjudged
from tgdpo_plugins.judges.llm.verdicts import (
    CUT,
    EMPTY_REPLY,
    NO_LOGPROBS,
    NO_VERDICT,
    OUT_OF_RANGE,
    REFUSED,
    SEVERAL,
    TOO_LONG,
    Reply,
    refusal_of,
    reply_of,
    verdict_of,
)


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("rating", "Good work. Rating: [[7]]", 7.0),
        ("rating", "Rating: [[8.5]]", 8.5),
        ("rating", "Rating: [[9/10]]", 9.0),
        ("rating", "Rating: [6]", 6.0),  # one pair of brackets, where none has two
        ("rating", "See [1]. Rating: [[3]]", 3.0),
        ("rating", "See [1]. Rating: [3]", 3.0),
        ("rating", "**Rating:** [8.5].", 8.5),
        ("rating", 'My "grade" is **[7]**', 7.0),
        ("rating", "Score: [6]/10\nIt helps.", 6.0),
        ("rating", "It helps, see [1].\n\n[9/10]\n", 9.0),
        ("rating", "Rating: [3]\n[4]", SEVERAL),
        ("rating", "Rating: [11]", OUT_OF_RANGE),
        # A footnote, wherever it stands.
        ("rating", "I think this answer is nice, as in [1] and reference.", NO_VERDICT),
        ("rating", "It is as good as it gets [1].", NO_VERDICT),
        ("rating", "It is as good as it gets [1]", NO_VERDICT),
        ("rating", "[1] says that it is right.", NO_VERDICT),
        ("rating", "[1]\nThe rating is 8.", NO_VERDICT),
        ("rating", "My rating rests on [2].", NO_VERDICT),
        ("rating", "The rating: [1] and [2] are both right.", NO_VERDICT),
        ("rating", "<think>[[9]]?</think>Rating: [[4]]", 4.0),
        ("rating", "[[5]] ... so again [[5]]", 5.0),
        ("rating", "[[5]] or rather [[6]]", SEVERAL),
        ("rating", "[[11]]", OUT_OF_RANGE),
        ("rating", "[[0]]", OUT_OF_RANGE),
        ("rating", "[[-3]]", OUT_OF_RANGE),
        ("rating", "A seven, I would say: 7 of 10.", NO_VERDICT),
        ("rating", "  \n", EMPTY_REPLY),
        ("rating", "<think>[[9]]", EMPTY_REPLY),  # thought that never ended
        ("rating", "Well. <think>[[9]] so 9", NO_VERDICT),
        ("rating", "<Thinking>[[9]]</Thinking>Rating: [[4]]", 4.0),
        ("rating", "<think>[[9]]</think>Rating: [[4]]<think>or [[5]]?</think>", 4.0),
        # Opened in the prompt, by the chat template.
        ("rating", "maybe [[3]] hmm</think>The rating is 8.", NO_VERDICT),
        ("rating", "maybe [[3]] hmm</think>Rating: [[8]]", 8.0),
        ("rating", "maybe [[3]] hmm</think>", EMPTY_REPLY),
        ("rating", "[[3]]</think>[[4]]</think>Rating: [[8]]", 8.0),
        ("letters", "so [[A]]? </think>B is better.", NO_VERDICT),
        ("scale", "[[A>>B]]?\n</think>\n[[B>A]]", 0.25),
        ("names", "m or M?</think>M", 0.0),
        ("names", "m</think>", EMPTY_REPLY),
        ("letters", "so [[A]]", 1.0),
        ("letters", "[[ B ]]", 0.0),
        ("letters", "[[C]]", 0.5),
        ("letters", "[[Tie]]", 0.5),
        ("letters", "[[A]] ... finally [[B]]", SEVERAL),
        ("letters", "A is better.", NO_VERDICT),
        ("letters", "[[D]]", NO_VERDICT),
        ("scale", "[[A>>B]]", 1.0),
        ("scale", "[[A>B]]", 0.75),
        ("scale", "[[A=B]]", 0.5),
        ("scale", "[[B=A]]", 0.5),
        ("scale", "[[B>A]]", 0.25),
        ("scale", "[[A<B]]", 0.25),
        ("scale", "[[B>>A]]", 0.0),
        ("scale", "[[A<<B]]", 0.0),
        ("scale", "[[A>A]]", NO_VERDICT),
        ("names", "m", 1.0),
        ("names", " 'M'.", 0.0),
        ("names", "Model m", NO_VERDICT),
        ("names", "mM", NO_VERDICT),
    ],
)
def test_a_verdict_is_read_by_its_rule(rule, text, expected):
    assert verdict_of(Reply(text, "stop"), rule) == expected


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("rating", "At first sight [[9]], but", CUT),
        ("letters", "Not [[A]] because", CUT),
        ("names", "m", 1.0),  # the whole of what was asked for
        ("names", "I think that", CUT),
    ],
)
def test_a_reply_that_was_cut_has_no_verdict(rule, text, expected):
    assert verdict_of(Reply(text, "length"), rule) == expected


@pytest.mark.parametrize(
    "reply", [Reply("[[A]]", "content_filter"), Reply("", "stop", refusal="I cannot judge this.")]
)
def test_a_refusal_is_named(reply):
    assert verdict_of(reply, "letters") == REFUSED


def test_a_slight_preference_counts_as_the_user_says():
    assert verdict_of(Reply("[[A>B]]", "stop"), "scale", slight=1.0) == 1.0
    assert verdict_of(Reply("[[B>A]]", "stop"), "scale", slight=0.6) == pytest.approx(0.4)


def test_letters_are_weighed_by_their_probabilities():
    first = {"m": math.log(0.6), " m": math.log(0.1), "M": math.log(0.1), "x": math.log(0.2)}
    reply = Reply("m", "length", first_token=first)
    assert verdict_of(reply, "names", needs_logprobs=True) == pytest.approx(0.7 / 0.8)
    none = Reply("m", "length")
    assert verdict_of(none, "names", needs_logprobs=True) == NO_LOGPROBS
    other = Reply("x", "length", first_token={"x": 0.0})
    assert verdict_of(other, "names", needs_logprobs=True) == NO_VERDICT


@pytest.mark.parametrize(("reason", "expected"), [("stop", NO_VERDICT), ("length", CUT)])
@pytest.mark.parametrize("text", ["<think>m or M</think>M", "m or M</think>M", "<think>m or"])
def test_log_probs_of_a_thought_are_no_verdict(text, reason, expected):
    reply = Reply(text, reason, first_token={"<think>": -0.01, "m": -9.0, "M": -12.0})
    assert verdict_of(reply, "names", needs_logprobs=True) == expected


@pytest.mark.parametrize(
    "answer",
    [{}, {"choices": []}, {"error": "x"}, [], "text", {"choices": [{"message": {"content": [1]}}]}],
)
def test_what_is_no_completion_is_refused(answer):
    with pytest.raises(ValueError, match="no chat completion"):
        reply_of(answer)


def test_a_completion_without_content_is_an_empty_reply():
    reply = reply_of({"choices": [{"message": {"content": None}, "finish_reason": "stop"}]})
    assert verdict_of(reply, "letters") == EMPTY_REPLY


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (400, '{"error": {"code": "context_length_exceeded"}}', TOO_LONG),
        (400, "This model's maximum context length is 4096 tokens, however you", TOO_LONG),
        (400, "The prompt (total length 9000) is too long to fit into the model", TOO_LONG),
        (413, "prompt is too long: 210000 tokens > 200000 maximum", TOO_LONG),
        (400, '{"error": {"code": "content_filter"}}', REFUSED),
        (400, "unknown field 'seed'", None),
        (401, "context length", None),
        (None, "", None),
    ],
)
def test_a_refused_request_is_about_one_prompt_or_about_all(status, said, expected):
    assert refusal_of(status, said) == expected


def test_every_reason_is_said_in_a_few_words():
    for each in (CUT, EMPTY_REPLY, NO_VERDICT, OUT_OF_RANGE, REFUSED, SEVERAL, TOO_LONG):
        assert isinstance(each, Unjudged)
        assert 0 < len(each.reason) < 60
