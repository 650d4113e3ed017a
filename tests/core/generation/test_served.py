"""The engine ``openai`` against a server on this machine."""

import os
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.core.generation.openai_server import openai_server
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError, MachineError, UsageError
from tgdpo_core.generation.door import generate
from tgdpo_core.generation.engines import EngineSettings, open_engine
from tgdpo_core.generation.sampling import Sampling

TEXT = [PreferencePair(f"prompt {i}", "", "", f"row {i}") for i in range(4)]
CHAT = [
    PreferencePair([{"role": "user", "content": f"question {i}"}], [], [], f"row {i}")
    for i in range(2)
]
SAMPLING = Sampling(samples=3, greedy=True, temperature=0.8, top_p=0.9, max_new_tokens=5)
KEY = "sk-of-a-test-1234567890"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def engine(url: str, **args: str) -> Any:
    return open_engine("tiny", EngineSettings("openai", args={"url": url, **args}))


def test_text_is_gone_on_from_and_every_answer_has_its_own_seed() -> None:
    with openai_server() as server:
        found = generate(engine(server.url), TEXT, SAMPLING)
        asked = server.asked
    assert {path for path, _, _ in asked} == {"/v1/completions"}
    drawn = [body for _, _, body in asked if "seed" in body]
    assert len({body["seed"] for body in drawn}) == 12
    assert all((b["temperature"], b["top_p"], b["max_tokens"]) == (0.8, 0.9, 5) for b in drawn)
    greedy = [body for _, _, body in asked if "seed" not in body]
    assert [body["temperature"] for body in greedy] == [0] * 4
    for item in found.answered:
        assert item.answers[0].text == "answer greedy"
        for answer in item.answers[1:]:
            assert answer.text == f"answer {answer.seed}"
            assert answer.finished == bool(answer.seed % 2)
            assert answer.num_tokens == 7


def test_chats_and_system_messages_are_sent_as_messages() -> None:
    with openai_server() as server:
        generate(engine(server.url), CHAT, Sampling(system="Be brief."))
        generate(engine(server.url), TEXT[:1], Sampling(form="chat"))
        bodies = [body["messages"] for _, _, body in server.asked]
        assert {path for path, _, _ in server.asked} == {"/v1/chat/completions"}
    assert [{"role": "user", "content": "prompt 0"}] in bodies
    assert [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "question 1"},
    ] in bodies


def test_nothing_is_asked_twice_after_a_failure(tmp_path: Path) -> None:
    with openai_server([401]) as server:
        with pytest.raises(MachineError, match=r"model 'tiny': 401 .*the key is missing or wrong"):
            generate(engine(server.url, concurrency="1"), TEXT, SAMPLING, store=tmp_path)
        before = generate(engine(server.url), TEXT[:2], SAMPLING, store=tmp_path)
        found = generate(engine(server.url), TEXT, SAMPLING, store=tmp_path)
        seen = [(body["prompt"], body.get("seed")) for _, _, body in server.asked]
    assert found.num_kept == 8
    assert found.answered[:2] == before.answered
    assert len(seen) == len(set(seen)) == 16


def test_a_call_that_fails_for_a_moment_is_repeated() -> None:
    with openai_server([503, 500]) as server:
        generate(engine(server.url), TEXT[:1], Sampling())
        assert len(server.asked) == 1


def test_a_pause_beyond_the_patience_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server asks for an hour: the call is given up at once."""
    calls: list[int] = []

    async def busy(*args: Any, **kwargs: Any) -> httpx2.Response:
        calls.append(1)
        request = httpx2.Request("POST", "http://host")
        return httpx2.Response(429, headers={"retry-after": "3600"}, request=request)

    monkeypatch.setattr(httpx2.AsyncClient, "post", busy)
    began = time.monotonic()
    with pytest.raises(MachineError, match="429"):
        generate(engine("http://host/v1", patience="4"), TEXT[:1], Sampling())
    assert time.monotonic() - began < 4
    assert calls == [1]


def test_many_calls_are_under_way_at_once() -> None:
    with openai_server() as server:
        server.meet = 8
        generate(engine(server.url, concurrency="8"), TEXT, Sampling(samples=20))
        assert server.most_under_way == 8


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": []},
        {"choices": [{"text": "a", "finish_reason": "stop"}]},
        {"choices": [{"text": 1, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}},
        {
            "choices": [{"text": "a", "finish_reason": "stop"}],
            "usage": {"completion_tokens": -5},
        },
        {"error": "model not loaded"},
        [1],
    ],
)
def test_a_reply_that_is_no_completion_is_no_empty_answer(reply: Any) -> None:
    with openai_server([reply]) as server, pytest.raises(MachineError, match="no completion"):
        generate(engine(server.url), TEXT[:1], Sampling())


def test_an_empty_answer_is_one() -> None:
    empty = {
        "choices": [{"message": {"content": None}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 1},
    }
    with openai_server([empty]) as server:
        found = generate(engine(server.url), CHAT[:1], Sampling())
    assert (found.answered[0].answers[0].text, found.answered[0].answers[0].num_tokens) == ("", 1)


def test_the_key_comes_from_the_environment_and_stands_in_no_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TGDPO_OPENAI_KEY", KEY)
    with openai_server() as server:
        generate(engine(server.url), TEXT[:1], Sampling(), store=tmp_path)
        assert server.asked[0][1] == f"Bearer {KEY}"
    stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert stored
    assert not any(KEY.encode() in content for content in stored)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "needs url"),
        ({"url": "localhost"}, "url must be an address"),
        ({"url": "http://me:secret@host/v1"}, "user name or password.*set TGDPO_OPENAI_KEY"),
        ({"url": "http://host/v1?key=secret"}, "a query.*leave it out.*set TGDPO_OPENAI_KEY"),
        ({"url": "http://host/v1", "concurency": "3"}, "Did you mean 'concurrency'"),
        ({"url": "http://host/v1", "concurrency": "many"}, "concurrency must be a number"),
        ({"url": "http://host/v1", "concurrency": "0"}, "must be above 0"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(args: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_engine("tiny", EngineSettings("openai", args=args))


def test_template_variables_that_a_server_does_not_take_are_refused() -> None:
    row = PreferencePair(CHAT[0].prompt, [], [], "row 7", template_kwargs={"thinking": False})
    with pytest.raises(DataError, match=r"row 7: .*\(thinking\) do not reach it"):
        generate(engine("http://127.0.0.1:1/v1"), [row], Sampling())
