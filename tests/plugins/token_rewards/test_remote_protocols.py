"""What is sent to reward servers, and what of their answers is taken or refused."""

import json
from typing import Any

import numpy as np
import pytest

from tgdpo_cli.main import cli, run
from tgdpo_core import Example, Spans
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.options import build
from tgdpo_plugins.token_rewards.dense_prm.steps import steps_of
from tgdpo_plugins.token_rewards.remote.protocols import Asking
from tgdpo_plugins.token_rewards.remote.reward import Remote

TEXT = "First, 2 + 2.\nThat is 4.\n"
STEPS = ["First, 2 + 2.", "That is 4."]


def example(prompt: Any = "What is 2 + 2?\n") -> Example:
    offsets = [(i, min(i + 5, len(TEXT))) for i in range(0, len(TEXT), 5)]
    return Example(
        uid="u",
        side="chosen",
        prompt=prompt,
        response=TEXT,
        prompt_ids=(7, 8),
        response_ids=tuple(range(len(offsets))),
        offsets=offsets,
        num_untruncated=len(offsets),
        raw_response=TEXT,
    )


def asking(**settings: Any) -> Asking:
    defaults = {
        "protocol": "json",
        "unit": "step",
        "model": "",
        "separator": "\n",
        "step_tag": "<extra_0>",
        "label": -1,
        "chat": True,
        "system": None,
    }
    return Asking(**{**defaults, **settings})


MESSAGES = [{"role": "user", "content": "2 + 2?"}]
TAGGED = "First, 2 + 2.<extra_0>That is 4.<extra_0>"


@pytest.mark.parametrize(
    ("settings", "prompt", "body"),
    [
        ({}, "Q\n", {"prompt": "Q\n", "response": TEXT, "steps": STEPS}),
        (
            {"model": "prm"},
            "Q\n",
            {"model": "prm", "prompt": "Q\n", "response": TEXT, "steps": STEPS},
        ),
        ({"unit": "response"}, MESSAGES, {"prompt": MESSAGES, "response": TEXT}),
        (
            {"protocol": "pooling", "system": "Think."},
            "Q",
            {
                "messages": [
                    {"role": "system", "content": "Think."},
                    {"role": "user", "content": "Q"},
                    {"role": "assistant", "content": TAGGED},
                ]
            },
        ),
        ({"protocol": "pooling", "chat": False}, "Q\n", {"input": f"Q\n{TAGGED}"}),
        ({"protocol": "pooling", "unit": "token"}, "Q", {"input": [7, 8, 0, 1, 2, 3, 4]}),
        (
            {"protocol": "score"},
            MESSAGES,
            {"text_1": "2 + 2?", "text_2": [STEPS[0], "\n".join(STEPS)]},
        ),
    ],
)
def test_a_request_holds_what_the_protocol_says(
    settings: dict[str, Any], prompt: Any, body: dict[str, Any]
) -> None:
    one = example(prompt)
    assert asking(**settings).body(one, steps_of(one, "\n")) == body


@pytest.mark.parametrize(
    ("settings", "answer", "values"),
    [
        ({}, {"scores": [0.25, 1]}, [0.25, 1.0]),
        ({"unit": "token"}, {"values": [1, 2, 3, 4, 5]}, [1.0, 2.0, 3.0, 4.0, 5.0]),
        ({"unit": "token"}, {"spans": [[0, 5, 0.5]]}, Spans([(0, 5, 0.5)])),
        ({"protocol": "pooling"}, {"data": [{"data": [[0.9, 0.1], [0.4, 0.6]]}]}, [0.1, 0.6]),
        (
            {"protocol": "pooling", "label": 0},
            {"data": [{"data": [[0.9, 1], [0.4, 1]]}]},
            [0.9, 0.4],
        ),
        (
            {"protocol": "pooling", "unit": "token"},
            {"data": [{"data": [[9], [9], [0], [1], [2], [3], [4]]}]},
            [0.0, 1.0, 2.0, 3.0, 4.0],
        ),
        (
            {"protocol": "score"},
            {"data": [{"index": 1, "score": 0.2}, {"index": 0, "score": [0.1]}]},
            [0.1, 0.2],
        ),
    ],
)
def test_values_are_read_from_an_answer(settings: dict[str, Any], answer: Any, values: Any) -> None:
    one = example()
    assert asking(**settings).values(answer, one, steps_of(one, "\n")) == values


@pytest.mark.parametrize(
    ("settings", "answer", "message"),
    [
        ({}, {"scores": [0.5]}, "'scores' of the server's answer: got 1, expected 2"),
        ({}, {"scores": "good"}, "'scores'.*got 'good', expected 2"),
        ({}, json.loads('{"scores": [0.5, NaN]}'), "number 1: nan is no finite number"),
        ({}, {"scores": [None, 1]}, "number 0: None is no finite number"),
        ({}, {"scores": ["0.5", 1]}, "number 0: '0.5' is no finite number"),
        ({}, {"scores": [True, 1]}, "True is no finite number"),
        ({}, {"error": "busy"}, "has no 'scores': {'error': 'busy'}"),
        ({}, ["prose"], "has no 'scores'"),
        ({"unit": "token"}, {"values": [1.0]}, "got 1, expected 5"),
        ({"unit": "token"}, {"spans": [[0, 1]]}, r"no \[start, end, value\]"),
        ({"protocol": "pooling"}, {"data": [{"data": [[1, 2]]}]}, "1 rows for 2 steps.*step_tag"),
        ({"protocol": "pooling", "label": 2}, {"data": [{"data": [[1, 2], [1, 2]]}]}, "label=2"),
        ({"protocol": "pooling"}, {"data": []}, "0 items in 'data'"),
        ({"protocol": "score"}, {"data": [{"index": 0, "score": 1}]}, "got 1, expected 2"),
    ],
)
def test_what_cannot_be_used_is_refused(
    settings: dict[str, Any], answer: Any, message: str
) -> None:
    one = example()
    with pytest.raises(ValueError, match=message):
        asking(**settings).values(answer, one, steps_of(one, "\n"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"url": "localhost:8000"}, "url must be an address"),
        ({"url": "http://me:pw@host"}, "url holds a user name or password"),
        ({"url": "http://h", "protocol": "score", "unit": "token"}, "no values of tokens"),
        ({"url": "http://h", "concurrency": "0"}, "concurrency must be at least 1"),
        ({"url": "http://h", "timeout": "-1"}, "timeout must be above 0"),
        ({"url": "http://h", "step_separator": "\\n"}, "ends no step"),
        ({"url": "http://h", "api_key": "sk-1"}, "Set the environment variable TGDPO_REMOTE_KEY"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message) as refused:
        build(Remote, values, who="token reward 'remote'")
    assert "pw@" not in str(refused.value) or "me:pw" not in message


def test_values_are_named_by_model_and_version_else_by_address() -> None:
    assert Remote(url="http://a:1").fingerprint() != Remote(url="http://b:1").fingerprint()
    named = [Remote(url=url, model="prm", version="2") for url in ("http://a:1", "http://b:1")]
    assert named[0].fingerprint() == named[1].fingerprint() == {}
    assert named[0].options(stored_only=True) == named[1].options(stored_only=True)


def test_a_value_goes_to_the_tokens_of_its_step() -> None:
    reward, one = Remote(url="http://h"), example()
    steps = steps_of(one, "\n")
    assert np.array(reward._placed([0.25, 0.75], one, steps)).tolist() == [
        0.25,
        0.25,
        0.75,
        0.75,
        0.75,
    ]


def test_its_key_is_explained_by_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: cli.main(["plugins", "show", "remote"], standalone_mode=False)) == 0
    assert "secret, from $TGDPO_REMOTE_KEY" in capsys.readouterr().out
