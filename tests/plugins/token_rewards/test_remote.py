"""The reward ``remote`` against a server of its own process that fails, dies, refuses and lies."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.loopback import LoopbackServer, Serve
from tgdpo_cli.main import cli, run
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import PluginError
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import Reference, ScoringSettings
from tgdpo_core.scoring.sources import source_of_instance
from tgdpo_plugins.token_rewards.remote.reward import Remote

Score = Callable[..., dict[str, Any]]
KEY = "sk-canary-5f2b81c0d9"


def table_of(number: int, tokenizer: Any) -> TokenTable:
    pairs = [
        PreferencePair(f"What is {i}?\n", f"It is {i}.\nYes, {i}.", f"No {i} here.", f"row {i}")
        for i in range(number)
    ]
    return ListedTokens(tokenize_pairs(pairs, tokenizer, LengthLimits(), DataReport("test")))


@pytest.fixture
def score(tmp_path: Path, small_tokenizer: Any) -> Score:
    """A function: table and options of the reward -> what run.json says, values added."""

    def scored(table: TokenTable, **options: Any) -> dict[str, Any]:
        settings = ScoringSettings(tmp_path / "store", torch.device("cpu"), Precision())
        reference = Reference({"model": "never loaded"}, lambda: pytest.fail("loaded"))
        source = source_of_instance(Remote(**options))
        scorer = Scorer(reference, [source], small_tokenizer, settings)
        values = scorer.rewards(source, table)
        return {**next(iter(scorer.totals()["passes"].values())), "values": values}

    return scored


def value(text: str) -> float:
    return text.count("e") / (1 + len(text))


def require_right(found: dict[str, Any], table: TokenTable) -> None:
    for row in range(len(table)):
        pair = table[row]
        first, second = f"It is {row}.", f"Yes, {row}."
        parts = {round(v, 6) for v in found["values"][row][: len(pair.chosen.ids)].tolist()}
        assert parts == {round(value(first), 6), round(value(second), 6)}


def require_asked_once(server: LoopbackServer, number: int) -> None:
    assert set(Counter(server.answered()).values()) == {1}
    assert len(server.answered()) == number


def test_as_many_calls_reach_the_server_at_once_as_are_asked_for(
    serve: Serve, score: Score, small_tokenizer: Any
) -> None:
    server, table = serve(meet=64), table_of(100, small_tokenizer)
    found = score(table, url=server.url, concurrency=64, price_per_call=0.01)
    require_right(found, table)
    require_asked_once(server, 200)
    assert server.stats()["peak"] == 64
    assert found["asked"]["cost"] == "2 USD"


def test_a_server_that_fails_and_dies_twice_loses_nothing(
    serve: Serve, score: Score, small_tokenizer: Any
) -> None:
    server, table = serve(fail_every=5, dies_at=61, latency=0.01), table_of(80, small_tokenizer)

    def restart() -> None:
        for faults in ({"fail_every": 5, "dies_at": 51, "latency": 0.01}, {"fail_every": 5}):
            server.process.wait()
            time.sleep(0.3)
            server.start(**faults)

    keeper = threading.Thread(target=restart, daemon=True)
    keeper.start()
    found = score(table, url=server.url, concurrency=8, patience=60)
    keeper.join(timeout=20)
    require_right(found, table)
    require_asked_once(server, 160)


def test_what_was_answered_before_the_money_ran_out_is_kept(
    serve: Serve, score: Score, small_tokenizer: Any
) -> None:
    server, table = serve(broke_at=90, latency=0.01), table_of(80, small_tokenizer)
    with pytest.raises(PluginError, match=r"row \d+ \(\w+\).*402.*out of money.*90 answers.*rest"):
        score(table, url=server.url)
    server.stop()
    server.start()
    found = score(table, url=server.url)
    require_right(found, table)
    require_asked_once(server, 160)
    assert found["asked"]["responses"] == 70


def test_a_refused_key_ends_it_at_the_first_call(
    serve: Serve, score: Score, small_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, table = serve(key="another"), table_of(20, small_tokenizer)
    monkeypatch.setenv("TGDPO_REMOTE_KEY", KEY)
    began = time.monotonic()
    with pytest.raises(PluginError, match=r"401.*key is missing or wrong") as refused:
        score(table, url=server.url)
    assert KEY not in str(refused.value)
    assert server.stats()["requests"] == 1
    assert time.monotonic() - began < 5


def test_a_slow_server_is_waited_for_and_asked_once(
    serve: Serve, score: Score, small_tokenizer: Any
) -> None:
    server, table = serve(latency=1.0), table_of(4, small_tokenizer)
    found = score(table, url=server.url)
    require_right(found, table)
    require_asked_once(server, 8)


def test_a_pause_that_the_server_asks_for_is_kept(
    serve: Serve, score: Score, small_tokenizer: Any
) -> None:
    server = serve(fail_every=3, status=429, retry_after=0.4)
    began = time.monotonic()
    score(table_of(2, small_tokenizer), url=server.url, concurrency=1)
    assert server.stats()["requests"] == 5
    assert time.monotonic() - began > 0.4


def test_no_more_requests_are_sent_in_a_minute_than_allowed(
    serve: Serve, score: Score, small_tokenizer: Any
) -> None:
    server = serve()
    began = time.monotonic()
    score(table_of(4, small_tokenizer), url=server.url, requests_per_minute=300)
    assert time.monotonic() - began > 0.5  # eight requests, five in a second


def test_a_server_that_stays_away_is_given_up_after_the_patience(
    serve: Serve, score: Score, small_tokenizer: Any
) -> None:
    server = serve()
    server.stop()
    with pytest.raises(PluginError, match=r"127\.0\.0\.1.*ConnectError.*0 answers"):
        score(table_of(2, small_tokenizer), url=server.url, patience=0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("I'd say it looks good.", "answered 200 with what is no JSON: .I'd say"),
        ({"scores": [0.5, 0.5, 0.5]}, "got 3, expected 2"),
        ('{"scores": [NaN, 0.5]}', "nan is no finite number"),
    ],
)
def test_a_wrong_answer_is_named_with_its_row_and_the_others_are_kept(
    serve: Serve, score: Score, small_tokenizer: Any, wrong: Any, message: str
) -> None:
    server, table = serve(word="Yes, 7.", wrong=wrong), table_of(9, small_tokenizer)
    with pytest.raises(PluginError, match=rf"row 7 \(chosen\).*{message}"):
        score(table, url=server.url)
    before = len(server.answered())
    server.stop()
    server.start()
    require_right(score(table, url=server.url), table)
    assert len(server.answered()) == 18 + 1
    assert before >= 1


@pytest.mark.parametrize(
    "options",
    [
        {"protocol": "pooling"},
        {"protocol": "pooling", "chat": False},
        {"protocol": "pooling", "unit": "token"},
        {"protocol": "score"},
        {"protocol": "score", "unit": "response"},
        {"unit": "response"},
    ],
)
def test_every_protocol_gives_values(
    serve: Serve, score: Score, small_tokenizer: Any, options: dict[str, Any]
) -> None:
    table = table_of(2, small_tokenizer)
    found = score(table, url=serve().url, **options)
    values, pair = found["values"][0], table[0]
    if options.get("unit") == "token":
        ids = [*pair.chosen.ids.tolist(), *pair.rejected.ids.tolist()]
        assert values.tolist() == pytest.approx([i / 1000 for i in ids])
    elif options.get("unit") == "response":
        assert values[0] == pytest.approx(value("It is 0.\nYes, 0."))
    else:
        assert values[0] == pytest.approx(value("It is 0."))


def hits(folder: Path) -> list[Path]:
    """Return the files in a folder that hold the key."""
    return [p for p in folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def test_the_key_stands_nowhere_after_a_run(
    serve: Serve,
    tmp_path: Path,
    model_folder: Path,
    rows_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve(key=KEY, fail_every=7)
    monkeypatch.setenv("TGDPO_REMOTE_KEY", KEY)
    command = ["train", "--model", str(model_folder), "--dataset", str(rows_file)]
    command += ["--reward-plugin", "remote", "--reward-arg", f"url={server.url}"]
    command += ["--output-dir", str(tmp_path / "run"), "--set", "training.use_cpu=true"]
    command += ["--set", "training.max_steps=1", "--set", "training.save_steps=1"]
    caplog.set_level("DEBUG")
    assert run(lambda: cli.main(command, standalone_mode=False)) == 0
    server.stop()
    server.start(key="another")
    again = [*command, "--reward-arg", "model=other", "--overwrite"]
    assert run(lambda: cli.main(["--debug", *again], standalone_mode=False)) == 4
    given = [*command, "--reward-arg", f"api_key={KEY}", "--overwrite"]
    assert run(lambda: cli.main(given, standalone_mode=False)) == 2
    out, err = capfd.readouterr()
    assert "401" in err
    assert "TGDPO_REMOTE_KEY" in err
    assert KEY not in out + err + caplog.text
    assert hits(tmp_path / "run") == []
    assert hits(tmp_path / "store") == []
    assert (tmp_path / "run" / "model" / "README.md").is_file()
    asked = json.loads((tmp_path / "run" / "run.json").read_text())["store"]["passes"]
    assert asked["token_reward:remote"]["asked"]["responses"] == 24
