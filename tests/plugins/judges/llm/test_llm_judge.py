"""The judge ``llm`` against a server of its own process that fails, prefers a place, and lies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tests.loopback import LoopbackServer, Serve
from tgdpo_core import Comparison, Generation, Unjudged
from tgdpo_core.errors import PluginError
from tgdpo_core.evaluation.both_orders import in_both_orders, paired, position_bias
from tgdpo_core.evaluation.verdict_checks import checked_verdicts, question
from tgdpo_core.scoring.guard import call_on_batch, call_plugin
from tgdpo_core.testing import JudgeContract
from tgdpo_plugins.judges.llm.judge import LLMJudge

KEY = "sk-canary-7e1f0a55b2"


def answer(number: int, quality: int) -> Generation:
    return Generation(f"This is prompt {number}.", f"My answer has quality={quality}.")


def comparisons(number: int) -> list[Comparison]:
    """A third each: the first is better, the second is, a tie."""
    qualities = ((7, 3), (2, 8), (5, 5))
    return [
        Comparison(answer(i, first), Generation(f"This is prompt {i}.", f"Mine: quality={second}."))
        for i, (first, second) in ((i, qualities[i % 3]) for i in range(number))
    ]


def judge_all(judge: LLMJudge, batch: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return verdicts and record, through the doors that a run uses."""
    judge.validate()
    call_plugin("judge 'llm'", "setup", judge.setup)
    try:
        said = call_on_batch("judge 'llm'", f"{len(batch)} {judge.reads}", question(judge), batch)
    finally:
        call_plugin("judge 'llm'", "teardown", judge.teardown)
    return checked_verdicts("judge 'llm'", said, batch, judge.reads), dict(judge.record())


def llm(server: LoopbackServer, **options: Any) -> LLMJudge:
    return LLMJudge(url=server.url, model="judge", **options)


def require_asked_once(server: LoopbackServer, number: int) -> None:
    asked = Counter(server.answered())
    assert (len(asked), set(asked.values())) == (number, {1})


# -- bias, failures, ties -------------------------------------------------------------------------


def test_position_bias_is_seen_reported_and_removed_by_both_orders(judge_server: Serve) -> None:
    server = judge_server(bias=0.3, fail_every=10)
    judge = llm(server, mode="pairwise", concurrency=32)
    verdicts, record = judge_all(judge, in_both_orders(comparisons(90)))
    require_asked_once(server, 180)
    assert server.stats()["requests"] > 195  # a tenth failed, and was asked again
    assert record["unjudged"] == {}
    both = paired(verdicts)
    bias = position_bias(both)
    # Where the server is biased each answer wins once; elsewhere the order changes nothing.
    share = bias.changed.value
    assert 0.2 < share < 0.4
    assert bias.reversed.value == share
    assert bias.first_place.value == pytest.approx(0.5 + share / 2)
    assert bias.first_place.low > 0.5
    # The truth is .5: as many first answers are better as second ones, and ties.
    assert bias.one_order > 0.6
    assert bias.both_orders == pytest.approx(0.5, abs=0.03)
    assert {v.combined("agree") for v in both} == {0.0, 0.5, 1.0}


def test_grades_come_with_tokens_cost_and_the_name_of_the_model(judge_server: Serve) -> None:
    server = judge_server()
    judge = llm(server, price_per_1k_input=0.002, price_per_1k_output=0.01)
    found, record = judge_all(judge, [answer(i, 1 + i) for i in range(10)])
    assert found == [float(1 + i) for i in range(10)]
    assert record["served_models"] == ["judge-0613"]
    assert (record["calls"], record["input_tokens"], record["output_tokens"]) == (10, 10000, 500)
    assert record["cost"] == "0.025 USD"


def test_a_cost_that_nobody_can_know_is_said_to_be_unknown(judge_server: Serve) -> None:
    server = judge_server(usage=False)
    assert judge_all(llm(server), [answer(0, 5)])[1]["cost"].startswith("unknown: set price_per")
    prices = {"price_per_1k_input": 1.0, "price_per_1k_output": 1.0}
    record = judge_all(llm(server, **prices), [answer(1, 5)])[1]
    assert record["cost"] == "0 USD and 1 calls whose tokens are unknown"


@pytest.mark.parametrize(
    ("style", "expected"), [("arena-hard", [0.75, 0.0, 0.5]), ("alpaca-eval", [1.0, 0.0, 1.0])]
)
def test_other_styles_ask_and_read_in_their_own_way(
    judge_server: Serve, style: Any, expected: list[float]
) -> None:
    judge = llm(judge_server(), mode="pairwise", style=style)
    assert judge_all(judge, comparisons(3))[0] == expected


# -- asked once -----------------------------------------------------------------------------------


def test_equal_questions_are_asked_once_and_never_again(judge_server: Serve) -> None:
    server = judge_server()
    batch = [answer(i % 4, 5) for i in range(12)]
    assert judge_all(llm(server), batch)[0] == [5.0] * 12
    found, record = judge_all(llm(server), batch)
    assert (found, record["calls"], record["reused"]) == ([5.0] * 12, 0, 4)
    require_asked_once(server, 4)


@pytest.mark.parametrize(
    "change", [{"version": "2"}, {"seed": 1}, {"temperature": 0.5}, {"max_tokens": 9}]
)
def test_what_decides_a_reply_is_part_of_its_name(
    judge_server: Serve, change: dict[str, Any]
) -> None:
    server = judge_server()
    judge_all(llm(server), [answer(0, 5)])
    judge_all(llm(server, **change), [answer(0, 5)])
    assert len(server.answered()) == 2


def test_replies_of_a_named_version_go_along_when_the_server_moves(judge_server: Serve) -> None:
    first, second = judge_server(), judge_server()
    judge_all(llm(first, version="a"), [answer(0, 5)])
    judge_all(llm(second, version="a"), [answer(0, 5)])
    assert len(second.answered()) == 0
    judge_all(llm(second), [answer(0, 5)])
    assert len(second.answered()) == 1


PROGRAM = """
import sys
from tests.plugins.judges.llm.test_llm_judge import LLMJudge, comparisons, judge_all
judge = LLMJudge(url=sys.argv[1], model="judge", mode="pairwise", concurrency=8)
print(judge_all(judge, comparisons(60))[0])
"""


def test_after_kill_9_nothing_is_asked_twice(judge_server: Serve) -> None:
    server = judge_server(hold_after=25)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PROGRAM, server.url]
    process = subprocess.Popen(command, env=environment)
    # The server answers 25 and leaves eight waiting, which it never counts as answered.
    deadline = time.monotonic() + 60
    while server.stats()["requests"] < 33 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(server.answered()) == 25
    server.stop()
    server.start()
    judge = LLMJudge(url=server.url, model="judge", mode="pairwise")
    found, record = judge_all(judge, comparisons(60))
    assert found == [1.0, 0.0, 0.5] * 20
    assert (record["calls"], record["reused"]) == (35, 25)
    require_asked_once(server, 60)


def test_what_was_answered_before_the_server_refused_is_kept(judge_server: Serve) -> None:
    server = judge_server(says={"prompt 7.": [402, {"error": "no money left"}]})
    judge = llm(server, mode="pairwise", concurrency=1)
    with pytest.raises(PluginError, match=r"402.*out of money.*7 replies of this command are kept"):
        judge_all(judge, comparisons(12))
    assert judge.record()["calls"] == 7
    server.stop()
    server.start()
    assert judge_all(llm(server, mode="pairwise"), comparisons(12))[0] == [1.0, 0.0, 0.5] * 4
    assert len(server.answered()) == 8 + 5  # with the one that was refused


# -- bad input: counted, named, never zero --------------------------------------------------------


def whole(text: str | None, reason: str, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **more}
    return {"choices": [{"message": message, "finish_reason": reason}], "model": "judge-0613"}


def test_what_has_no_verdict_is_counted_and_named(judge_server: Serve) -> None:
    too_long = {"error": {"message": "This model's maximum context length is 100 tokens"}}
    says = {
        "prompt 1.": "I like both of them.",
        "prompt 2.": whole("Let me think [[A]]", "length"),
        "prompt 3.": whole("", "stop", refusal="No."),
        "prompt 4.": whole("", "stop"),
        "prompt 5.": "[[A]] or maybe [[B]]",
        "prompt 6.": [400, too_long],
    }
    server = judge_server(says=says)
    batch = [*comparisons(8), Comparison(answer(9, 5), Generation("This is prompt 9.", " \n"))]
    expected = {
        "no verdict in the judge's reply": 1,
        "the judge's reply was cut at max_tokens": 1,
        "the judge refused": 1,
        "empty reply of the judge": 1,
        "contradictory verdicts in the judge's reply": 1,
        "longer than the judge can read (prompt and max_tokens)": 1,
        "empty answer": 1,
    }
    for asked in (8, 0):  # the second time from what was kept
        before = len(server.answered())
        found, record = judge_all(llm(server, mode="pairwise"), batch)
        assert [isinstance(each, Unjudged) for each in found] == [False, *[True] * 6, False, True]
        assert record["unjudged"] == expected
        assert len(server.answered()) - before == asked


def test_an_empty_answer_may_be_shown_to_the_judge(judge_server: Serve) -> None:
    server = judge_server(says={"prompt 1.": "[[A]]"})
    batch = [Comparison(answer(1, 3), Generation("This is prompt 1.", ""))]
    assert judge_all(llm(server, mode="pairwise", empty="ask"), batch)[0] == [1.0]
    assert judge_all(llm(server), [Generation("q", "")])[0] == [Unjudged("empty answer")]


def test_without_an_endpoint_the_command_ends_and_says_where_it_looked(
    judge_server: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tgdpo_plugins.judges.llm.asking._SECONDS_TO_BEGIN", 0.5)
    judge_server().stop()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(PluginError, match=rf"llm.*{url}/chat/completions: ConnectError.*0 replies"):
        judge_all(LLMJudge(url=url, model="judge"), [answer(0, 5)])


def test_a_refused_key_ends_it_at_the_first_call_and_is_shown_nowhere(
    judge_server: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    server = judge_server(key="another")
    monkeypatch.setenv("TGDPO_JUDGE_KEY", KEY)
    with pytest.raises(PluginError, match=r"401.*the key is missing or wrong"):
        judge_all(llm(server), [answer(i, 5) for i in range(30)])
    assert server.stats()["requests"] == 1
    server.stop()
    server.start(key=KEY, says={"prompt 0.": f"[[5]] by {KEY}"})
    assert judge_all(llm(server), [answer(0, 5)])[0] == [5.0]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store").iterdir())
    assert KEY.encode() not in kept
    assert b"TGDPO_JUDGE_KEY" in kept


@pytest.mark.parametrize("said", [[200, "no JSON"], [200, {"error": "x"}], [200, {"choices": []}]])
def test_a_server_that_speaks_something_else_is_refused(judge_server: Serve, said: Any) -> None:
    server = judge_server(says={"prompt 0.": said})
    with pytest.raises(PluginError, match=r"no JSON|no chat completion"):
        judge_all(llm(server), [answer(0, 5)])
    server.stop()
    server.start()
    assert judge_all(llm(server), [answer(0, 5)])[0] == [5.0]  # nothing of it was kept


def test_as_many_calls_are_under_way_as_are_asked_for(judge_server: Serve) -> None:
    server = judge_server(meet=6)
    judge_all(llm(server, concurrency=6), [answer(i, 5) for i in range(19)])
    assert server.stats()["peak"] == 6


# -- the contract ---------------------------------------------------------------------------------

ROWS = [
    {"prompt": f"This is prompt {i}.", "chosen": "quality=8", "rejected": "quality=3"}
    for i in range(3)
]


def test_it_keeps_the_contract_of_judges(judge_server: Serve) -> None:
    from tgdpo_core.testing.checking import outcomes

    contract = JudgeContract()
    contract.plugin = llm(judge_server(), mode="pairwise")
    contract.rows = ROWS  # type: ignore[misc]
    assert {o.check: o.failure for o in outcomes(contract) if o.failure} == {}


def test_its_options_and_record_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGDPO_JUDGE_KEY", KEY)
    judge = LLMJudge(url="http://x/v1", model="judge")
    assert KEY not in json.dumps([judge.options(), dict(judge.record())]) + repr(judge)
