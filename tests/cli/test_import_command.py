"""``tgdpo import``: the tools' own numbers, what was not read, and verdicts of every prompt."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.core.exchange.questions_of_tests import MT_BENCH, lines
from tests.core.exchange.test_judgements import ALPACA, PAIR, SINGLE, V01, V2
from tgdpo_cli.main import cli
from tgdpo_core.errors import DataError, UsageError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["import", *map(str, arguments)])


def imported(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def verdict(folder: Path, baseline: str) -> Any:
    return json.loads((folder / "verdicts" / baseline / "verdict.json").read_text())


def test_annotations_of_alpaca_eval(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    others = [{**ALPACA, "instruction": f"{p}", "preference": p} for p in (2, 1.5, None)]
    path.write_text(json.dumps([ALPACA, *others]))
    out = tmp_path / "out"
    found = imported("alpaca-eval", path, "--output-dir", out)
    (headline,) = found["headlines"]
    assert headline["values"]["win_rate"] == pytest.approx(100 * (0.25 + 1 + 0.5) / 3)
    assert (found["rows"], found["read"], found["not_read"]) == (4, 3, {"no verdict": 1})
    (first, *_) = verdict(out, "base")["prompts"]
    assert first["prompt"] == "Name a tree."
    assert first["answers"]["mine"][0]["text"] == "Elm."
    assert first["preferences"][0]["shown_first"]["value"] == 0.25
    assert first["preferences"][0]["shown_second"] is None
    assert {**json.loads((out / "import.json").read_text()), "folder": str(out)} == found


def test_grades_of_mt_bench_by_turn_and_category(tmp_path: Path) -> None:
    rows = [SINGLE, {**SINGLE, "turn": 2, "score": 4}, {**SINGLE, "question_id": 82, "score": 9}]
    questions = lines(tmp_path / "question.jsonl", MT_BENCH)
    out = tmp_path / "out"
    path = lines(tmp_path / "gpt-4_single.jsonl", rows)
    found = imported("mt-bench", path, "--output-dir", out, "--prompts", questions)
    groups = {each["group"]: each["values"] for each in found["headlines"]}
    assert groups["gpt-4"]["average"] == pytest.approx(20 / 3)
    assert groups["gpt-4"]["first turn"] == 8.0
    assert groups["gpt-4, math"] == {
        "first turn": 7.0,
        "second turn": 4.0,
        "average": 5.5,
        "judgements": 2,
    }
    second = verdict(out, "mine")["prompts"][1]
    assert [turn["content"] for turn in second["prompt"]] == ["What is 1 + 1?", "And twice that?"]
    assert second["answers"]["mine"][0]["scores"]["gpt-4"]["value"] == 4


def test_both_orders_of_pairs_reach_the_verdict(tmp_path: Path) -> None:
    answers = [{"question_id": 81, "choices": [{"index": 0, "turns": ["Two.", "Four."]}]}]
    out = tmp_path / "out"
    imported(
        "mt-bench",
        lines(tmp_path / "gpt-4_pair.jsonl", [PAIR]),
        "--output-dir",
        out,
        "--answers",
        lines(tmp_path / "mine.jsonl", answers),
    )
    (prompt,) = verdict(out, "base")["prompts"]
    (preference,) = prompt["preferences"]
    assert preference["shown_first"]["value"] == 1.0
    assert preference["shown_second"]["value"] == 0.5
    assert prompt["answers"]["mine"][0]["text"] == "Four."  # turn 2
    assert "base" not in prompt["answers"]


def test_without_the_answers_no_win_rate_is_controlled_for_length(tmp_path: Path) -> None:
    rows = [{**PAIR, "question_id": i, "g2_winner": "model_1"} for i in range(6)]
    out = tmp_path / "out"
    imported("mt-bench", lines(tmp_path / "gpt-4_pair.jsonl", rows), "--output-dir", out)
    (rate,) = verdict(out, "base")["summary"]["win_rates"]
    assert rate["rate"]["value"] == 1.0
    assert rate["length_controlled"] is None


@pytest.mark.parametrize(
    ("row", "option", "baseline", "score"),
    [
        (V01, (), "gpt-4-0314", 100 * (0 * 3 + 0.5) / 4),
        (V01, ("--baseline", "mine-before"), "mine-before", 12.5),
        (V2, (), "o3", 100 * (1 + 0 * 3) / 4),
    ],
)
def test_games_of_arena_hard(
    row: dict[str, Any], option: tuple[str, ...], baseline: str, score: float, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    path = lines(tmp_path / "mine.jsonl", [row])
    found = imported("arena-hard", path, "--output-dir", out, *option)
    assert found["headlines"][0]["values"]["score"] == pytest.approx(score)
    (preference,) = verdict(out, baseline)["prompts"][0]["preferences"]
    assert (preference["model"], preference["other"]) == ("mine", baseline)


def test_the_two_versions_of_arena_hard_are_not_mixed(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", [V01, V2])
    result = run("arena-hard", path, "--output-dir", tmp_path / "out")
    assert isinstance(result.exception, DataError)
    assert "one by one" in str(result.exception)


def test_the_table_says_what_was_not_read(tmp_path: Path) -> None:
    rows = [PAIR, {**PAIR, "g1_winner": "error"}, {**PAIR, "question_id": 1, "g1_winner": "?"}]
    path = lines(tmp_path / "gpt-4_pair.jsonl", rows)
    result = run("mt-bench", path, "--output-dir", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "2 of 3 judgements read" in result.output
    assert "1: winner (gpt-4_pair.jsonl:3)" in result.output
    assert "1: no verdict in one order (gpt-4_pair.jsonl:2)" in result.output
    assert "1 are of what the same judge was asked before" in result.output
    assert "win_rate_adjusted" in result.output


def test_an_import_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", [V2])
    arguments = ("arena-hard", path, "--output-dir", tmp_path / "out")
    assert run(*arguments).exit_code == 0
    assert isinstance(run(*arguments).exception, UsageError)
    assert run(*arguments, "--overwrite").exit_code == 0


def test_grades_are_over_questions_and_counted_each(tmp_path: Path) -> None:
    rows = [SINGLE, {**SINGLE, "score": 1}, {**SINGLE, "turn": 2, "score": 3}]
    out = tmp_path / "out"
    found = imported("mt-bench", lines(tmp_path / "s.jsonl", rows), "--output-dir", out)
    assert found["repeated"] == 1
    first, second = verdict(out, "mine")["prompts"]
    assert (first["cluster"], second["cluster"]) == ("81", "81")
    assert [each["scores"]["gpt-4"]["value"] for each in first["answers"]["mine"]] == [7, 1]


def test_an_instruction_with_two_answers_is_not_a_judgement_repeated(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([ALPACA, {**ALPACA, "output_2": "A large elm."}]))
    out = tmp_path / "out"
    assert imported("alpaca-eval", path, "--output-dir", out)["repeated"] == 0
    (prompt,) = verdict(out, "base")["prompts"]
    assert [each["text"] for each in prompt["answers"]["mine"]] == ["Elm.", "A large elm."]
    assert [each["draw"] for each in prompt["preferences"]] == [0, 1]


@pytest.mark.parametrize(
    ("benchmark", "row", "said"),
    [
        ("mt-bench", PAIR, "no comparison in .*j.jsonl is of it. Available: base, mine"),
        ("mt-bench", SINGLE, "no grade in .*j.jsonl is of it. Available: mine"),
        ("arena-hard", V2, "rows of .*j.jsonl name theirs themselves: o3. Leave --baseline out"),
        ("arena-hard", {**V01, "baseline": "o1"}, "name theirs themselves: o1"),
    ],
)
def test_a_baseline_that_is_not_there_is_refused(
    benchmark: str, row: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = lines(tmp_path / "j.jsonl", [row])
    out = tmp_path / "out"
    result = run(benchmark, path, "--output-dir", out, "--baseline", "nosuch")
    assert isinstance(result.exception, UsageError)
    assert re.search(said, str(result.exception))
    assert not out.exists()


def test_the_baseline_that_all_rows_name_may_be_given(tmp_path: Path) -> None:
    path = lines(tmp_path / "j.jsonl", [V2])
    imported("arena-hard", path, "--output-dir", tmp_path / "out", "--baseline", "o3")


@pytest.mark.parametrize("option", ["--prompts", "--answers"])
def test_texts_for_a_file_that_has_them_are_refused(option: str, tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([ALPACA]))
    result = run("alpaca-eval", path, "--output-dir", tmp_path / "out", option, path)
    assert result.exit_code == 2
    assert f"{option}: the rows of alpaca-eval hold the texts" in result.output


def test_every_verdict_has_a_folder_of_its_own_inside_the_import(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    names = ["a/b", "a__b", ".."]
    path.write_text(json.dumps([{**ALPACA, "generator_1": name} for name in names]))
    out = tmp_path / "out"
    found = imported("alpaca-eval", path, "--output-dir", out)
    assert sorted(each.name for each in out.iterdir()) == ["import.json", "verdicts"]
    assert [each["baseline"] for each in found["verdicts"]] == names
    for each in found["verdicts"]:
        kept = json.loads((out / each["folder"] / "verdict.json").read_text())
        assert kept["baseline"] == each["baseline"]


def test_grades_and_comparisons_with_one_baseline_are_both_kept(tmp_path: Path) -> None:
    path = lines(tmp_path / "j.jsonl", [{**PAIR, "model_1": "yours", "model_2": "mine"}, SINGLE])
    out = tmp_path / "out"
    found = imported("mt-bench", path, "--output-dir", out)
    assert [each["baseline"] for each in found["verdicts"]] == ["mine", "mine"]
    assert [each["reads"] for each in found["verdicts"]] == ["comparisons", "answers"]
    assert len({each["folder"] for each in found["verdicts"]}) == 2


def test_verdicts_of_an_earlier_import_do_not_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    imported("arena-hard", lines(tmp_path / "a.jsonl", [V2]), "--output-dir", out)
    (out / "verdicts/mine").mkdir()
    (out / "verdicts/mine/notes.txt").write_text("my own")
    (out / "verdicts/o3/notes.txt").write_text("my own")
    imported("arena-hard", lines(tmp_path / "b.jsonl", [V01]), "--output-dir", out, "--overwrite")
    there = sorted(str(each.relative_to(out)) for each in out.rglob("*") if each.is_file())
    assert there == [
        "import.json",
        *(f"verdicts/gpt-4-0314/verdict.{end}" for end in ("csv", "html", "json")),
        "verdicts/mine/notes.txt",
        "verdicts/o3/notes.txt",
    ]


def test_texts_of_nobody_and_prompts_without_a_text_are_said(tmp_path: Path) -> None:
    answers = [{"question_id": 81, "choices": [{"index": 0, "turns": ["Two.", "Four."]}]}]
    rows = [SINGLE, {**SINGLE, "question_id": 9981}]
    arguments = (
        *("mt-bench", lines(tmp_path / "s.jsonl", rows), "--output-dir", tmp_path / "out"),
        *("--prompts", lines(tmp_path / "question.jsonl", MT_BENCH)),
        *("--answers", lines(tmp_path / "mine.jsonl", answers)),
        *("--answers", lines(tmp_path / "chatA.jsonl", answers)),
    )
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "nobody judged chatA" in result.output
    assert "1 judged prompts are not there (the first: question 9981, turn 1)" in result.output
    assert "1 judged answers are not in their model's file" in result.output
    lacking = imported(*arguments, "--overwrite")["lacking_texts"]
    assert lacking["models"] == ["chatA"]
    assert lacking["questions"] == [[9981, 1]]
    assert lacking["answers"] == [["mine", 9981, 1]]


def test_ids_as_text_are_not_taken_for_numbers(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", [{**SINGLE, "question_id": "81"}])
    questions = lines(tmp_path / "question.jsonl", MT_BENCH)
    result = run("mt-bench", path, "--output-dir", tmp_path / "out", "--prompts", questions)
    assert isinstance(result.exception, DataError)
    assert "judged: '81'. A text is no number" in str(result.exception)


def test_scores_outside_the_scale_are_read_and_noted(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", [SINGLE, {**SINGLE, "question_id": 82, "score": 15}])
    found = imported("mt-bench", path, "--output-dir", tmp_path / "out")
    assert (found["read"], found["not_read"]) == (2, {})
    assert found["noted"] == {"score outside 1 to 10, counted": 1}
    assert found["headlines"][0]["values"]["average"] == 11


def test_a_name_with_half_a_character_is_kept_as_json_escapes_it(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", [{**V2, "model": "\ud800"}])
    imported("arena-hard", path, "--output-dir", tmp_path / "out")
    kept = json.loads((tmp_path / "out/import.json").read_text())
    assert kept["headlines"][0]["model"] == "\ud800"
