"""``tgdpo exact``: tables, statements that follow from them, JSON, bad input."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli
from tgdpo_core.errors import UsageError
from tgdpo_core.experiments.exact.findings import findings
from tgdpo_core.experiments.exact.study import Settings, Tables, mean_tables, run_world

SMALL = ["--vocabulary", "3", "--horizon", "2", "--beta", "0.5", "--worlds", "1"]


def exact(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["exact", *arguments])


DOCS = Path(__file__).parents[2] / "docs" / "exact.md"


@pytest.fixture(scope="module")
def tables() -> Tables:
    return run_world(Settings(vocabulary=3, horizon=2, betas=(0.5,)), seed=0)


def changed(tables: Tables, table: str, **values: Any) -> Tables:
    rows = tuple(replace(row, **values) for row in getattr(tables, table))
    return replace(tables, **{table: rows})


def test_it_prints_four_tables_and_what_follows() -> None:
    result = exact(*SMALL)
    assert result.exit_code == 0, result.output
    assert re.findall(r"^(\d)\. ", result.stdout, re.M) == ["1", "2", "3", "4"]
    assert re.search(r"^ *0\.5 +0\.5 +shuffled +0\.6931 +0\.6931 +0\.[0-5]", result.stdout, re.M)
    assert "- Coin-flip labels: DPO and one common f stay at ln 2" in result.stdout


@pytest.mark.checkout
def test_the_tables_of_the_docs_are_what_the_command_prints() -> None:
    """The rows of beta 1, digit by digit."""
    shown = [line.split() for line in DOCS.read_text().splitlines()]
    rows = [line.split() for line in exact("--beta", "1").stdout.splitlines()]
    rows = [row for row in rows if row[:1] == ["1"]]
    assert len(rows) == 2 + 2 + 2 + 2
    for row in rows:
        assert row in shown


def test_json_holds_every_world_the_means_and_the_same_statements(tables: Tables) -> None:
    result = exact(*SMALL[:-1], "2", "--json")
    shown = json.loads(result.stdout)
    worlds = [tables, run_world(Settings(3, 2, (0.5,)), seed=1)]
    assert [world["seed"] for world in shown["worlds"]] == [0, 1]
    assert shown["worlds"][0]["optima"] == [asdict(row) for row in tables.optima]
    assert shown["findings"] == findings(mean_tables(worlds))
    first, second = (world.optima[1].kl_token_simplified for world in worlds)
    mean = shown["means"]["optima"][1]["kl_token_simplified"]
    assert mean == pytest.approx((first + second) / 2)


def test_lists_and_repeated_options_are_the_same() -> None:
    common = ["--vocabulary", "2", "--horizon", "2", "--worlds", "1", "--json"]
    together = exact(*common, "--beta", "0.5,1", "--alpha", "0,0.3")
    apart = exact(*common, "--beta", "0.5", "--beta", "1", "--alpha", "0", "--alpha", "0.3")
    assert together.exit_code == 0, together.output
    assert together.stdout == apart.stdout


def test_without_guidance_nothing_is_said_about_it() -> None:
    result = exact(*SMALL, "--alpha", "0")
    assert result.exit_code == 0, result.output
    assert "official loss lies" not in result.stdout
    assert "Coin-flip" not in result.stdout
    assert "(DPO) ends exactly at the sequence-optimal policy" in result.stdout


def test_with_one_step_the_two_optimal_policies_are_said_to_be_one() -> None:
    result = exact("--vocabulary", "3", "--horizon", "1", "--beta", "0.5", "--worlds", "1")
    assert "token- and sequence-optimal are the same" in result.stdout
    assert "changes the target" not in result.stdout


@pytest.mark.parametrize(
    ("table", "values", "usual", "instead"),
    [
        ("gradients", {"one_pair": 0.9}, "has the same direction", "cosine down to 0.9000"),
        ("gradients", {"datasets": (1.0,) * 4}, "changes that of their sum", "still have one"),
        ("optima", {"kl_full_token": 0.2}, "is best fitted by", "fitted best 2.0e-01 nats away"),
        ("optima", {"kl_sequence_simplified": 0.2}, "(DPO) ends exactly", "ends 2.0e-01 nats"),
        ("optima", {"loss_simplified": 0.1}, "common f meets", "common f misses"),
        ("optima", {"loss_official": 0.9}, "the official loss is not one", "is not below it"),
        ("coin_flips", {"loss_dpo": 0.5}, "stay at ln 2", "DPO or one common f moves"),
        ("coin_flips", {"loss_official": 0.9}, "A falling loss is no", "does not fall below it"),
    ],
)
def test_a_statement_changes_with_the_numbers(
    tables: Tables, table: str, values: dict[str, Any], usual: str, instead: str
) -> None:
    before, after = (
        "\n".join(findings(some)) for some in (tables, changed(tables, table, **values))
    )
    assert usual in before
    assert instead not in before
    assert usual not in after
    assert instead in after


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "1"], r"--alpha must be in \[0, 1\), got 1: token rewards go to -1"),
        (["--alpha", "nan"], r"--alpha must be in \[0, 1\), got nan"),
        (["--beta", "0"], "--beta must be above 0 and finite, got 0"),
        (["--beta", "inf"], "--beta must be above 0 and finite, got inf"),
        (["--horizon", "9"], r"at most 256 sequences; got 4 \*\* 9"),
    ],
)
def test_values_outside_their_range_are_refused(arguments: list[str], message: str) -> None:
    result = exact(*arguments)
    assert isinstance(result.exception, UsageError)
    assert re.search(message, str(result.exception))


def test_what_is_no_number_is_a_usage_error() -> None:
    result = exact("--beta", "0.1;0.5")
    assert result.exit_code == 2
    assert "0.1;0.5: expected numbers such as 0.1 0.5." in result.output
