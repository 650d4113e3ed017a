"""``tgdpo evaluate``: verdicts on several models, from files of answers and from models."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.generation.answers import Answer, AnsweredPrompt, write_answers

PLUGIN = """
from tgdpo_core import Judge, Unjudged, hookimpl

class Longer(Judge):
    reads = "comparisons"
    def compare(self, batch):
        return [float(len(x.first.response) >= len(x.second.response)) for x in batch]
    def record(self):
        return {"cost": "0.5 USD"}

class Length(Judge):
    def score(self, batch):
        return [float(len(x.response)) for x in batch]

@hookimpl
def register_judges(register):
    register("longer", Longer)
    register("length", Length)
"""


def answered(texts: list[str]) -> list[AnsweredPrompt]:
    return [
        AnsweredPrompt(f"prompt {i}", (Answer(text, finished=i != 1, num_tokens=len(text)),))
        for i, text in enumerate(texts)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers of base, short and long to six prompts, and a plugin with two judges."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TGDPO_STORE", str(tmp_path / "store"))
    (tmp_path / "judges.py").write_text(PLUGIN)
    for name, letters in (("base", 3), ("short", 2), ("long", 5)):
        texts = ["x" * (letters + i * (name == "base")) for i in range(6)]
        write_answers(tmp_path / f"{name}.jsonl", answered(texts))
    return tmp_path


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--plugin-file", "judges.py", "evaluate", *arguments])


MODELS = ["base.jsonl", "short.jsonl", "long.jsonl"]


def test_three_models_are_judged_side_by_side(folder: Path) -> None:
    result = evaluate(*MODELS, "--judge", "longer", "--judge", "length")
    assert result.exit_code == 0, result.output
    assert "Against base, by longer, 6 prompts" in result.stdout
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    # long: five letters beside 3 to 8, so better twice, equal once, worse three times.
    assert re.search(r"^long +41\.7 % \[.*2/1/3", result.stdout, re.MULTILINE)
    assert "asked about 17 answers" in lines["length:"]  # two of the 18 are equal
    assert "cost 0.5 USD" in result.stdout
    assert "longer and length agree on 100.0 %" in result.stdout
    found = json.loads((folder / "verdict" / "verdict.json").read_text())
    assert found["baseline"] == "base"
    assert len(found["prompts"]) == 6
    assert {p.name for p in (folder / "verdict").iterdir()} == {
        "answers",
        "verdict.csv",
        "verdict.html",
        "verdict.json",
    }


def test_a_verdict_may_be_repeated_and_asks_nothing_again(folder: Path) -> None:
    command = [*MODELS, "--judge", "longer", "--baseline", "long", "--json"]
    first, second = (evaluate(*command) for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.output + second.output
    a, b = json.loads(first.stdout), json.loads(second.stdout)
    assert a["win_rates"] == b["win_rates"]
    assert {rate["other"] for rate in a["win_rates"]} == {"long"}
    assert "asked about 0 comparisons" in b["notes"][-1]


def test_answers_that_were_written_are_models_again(folder: Path) -> None:
    assert evaluate(*MODELS, "--judge", "length").exit_code == 0
    kept = "verdict/answers"
    again = evaluate(f"{kept}/base.jsonl", f"{kept}/long.jsonl", "--judge", "length")
    assert again.exit_code == 0, again.output
    assert "asked about 0 answers" in again.stdout


def test_prompts_choose_among_the_answers_of_files(folder: Path) -> None:
    rows = [{"prompt": f"prompt {i}", "instruction_difficulty": 0.5 * i} for i in (4, 1, 9)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = evaluate(*MODELS[:2], "--prompts", "rows.jsonl", "--judge", "length")
    assert result.exit_code == 0, result.output
    assert "base: 1 of 3 prompts are not in base.jsonl." in result.stdout
    found = json.loads((folder / "verdict" / "verdict.json").read_text())
    assert [prompt["prompt"] for prompt in found["prompts"]] == ["prompt 4", "prompt 1"]
    assert found["prompts"][0]["columns"]["instruction_difficulty"] == 2.0


def test_two_judges_of_one_kind_have_names_and_options_of_their_own(folder: Path) -> None:
    pair = ["--judge", "one=length", "--judge", "two=length"]
    result = evaluate(*MODELS, *pair, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {score["judge"] for score in found["scores"]} == {"one", "two"}
    assert found["agreements"][0]["share"]["value"] == 1.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--judge", "length", "--judge", "length"], "'length' was there before"),
        (["--judge", "length", "--judge", "longer", "--judge-arg", "a=1"], "which judge's?"),
        (["--judge", "length", "--baseline", "none"], "is none of the models: base, short, long"),
        (["--judge", "length", "--tie-rule", "agree"], "is for judges that compare two answers"),
        (["--judge", "likelihood"], "reads pairs and says nothing of answers"),
        (["--judge", "length", "--samples", "2"], "all models are files of answers"),
        (["--judge", "length", "--split", "test"], "says how --prompts are read"),
        (["--judge", "length", "--kl", "--reference", "m"], "answers without token ids"),
        (["--judge", "length", "--max-length", "9"], "is for judges that read pairs"),
        (["--judge", "length", "--output-dir", "."], "holds other files and no verdict"),
        (["--judge", "length", "base.jsonl"], "base is named twice"),
        (
            ["--judge", "length", "--prompts", "p", "--dataset", "p"],
            "two ways to name rows: give one",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(options: list[str], said: str, folder: Path) -> None:
    result = evaluate(*MODELS, *options)
    assert result.exit_code == 2, result.output
    assert said in result.stderr.replace("\n", " ")


def test_options_of_verdicts_are_refused_where_models_are_judged_one_by_one(folder: Path) -> None:
    result = evaluate("m", "--dataset", "playground", "--judge", "length", "--baseline", "m")
    assert result.exit_code == 2
    assert "--baseline: belongs to a verdict" in result.stderr


def test_damaged_answers_are_refused_with_their_line(folder: Path) -> None:
    Path("bad.jsonl").write_text(Path("base.jsonl").read_text() + "{}\n")
    result = evaluate("base.jsonl", "bad.jsonl", "--judge", "length")
    assert "bad.jsonl:7" in str(result.exception)


def columns(**changed: Any) -> str:
    cells = {"preference": "0.4", "std_delta_len": "1", "instruction_difficulty": "0", **changed}
    return ",".join(cells) + "\n" + ",".join(map(str, cells.values())) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "preference, std_delta_len, instruction_difficulty"),
        (columns(preference="high"), "could not convert"),
        (columns(preference="1.4"), "from 0 to 1, got 1.4"),
        (columns(std_delta_len="nan"), "no finite number"),
    ],
)
def test_a_file_of_gamed_baselines_is_checked(text: str, said: str, folder: Path) -> None:
    Path("gamed.csv").write_text(text)
    result = evaluate(*MODELS, "--judge", "longer", "--gamed", "gamed.csv")
    assert said in str(result.exception)


def test_models_answer_prompts_and_kl_stands_beside_the_score(
    folder: Path, model_folder: Path, rows_file: Path
) -> None:
    result = evaluate(
        *(str(model_folder), "--prompts", str(rows_file), "--split", "train", "--limit", "3"),
        *("--judge", "length", "--max-new-tokens", "4", "--kl", "--reference", str(model_folder)),
        "--json",
    )
    assert result.exit_code == 0, result.output
    (model,) = json.loads(result.stdout)["models"]
    assert model["num_answers"] == 3
    assert model["kl"]["value"] == pytest.approx(0, abs=1e-6)
    assert model["num_tokens"]["value"] <= 4


def test_what_is_left_out_of_prompts_and_files_is_counted(folder: Path) -> None:
    rows = [{"prompt": f"prompt {i}"} for i in (1, 1, 2)] + [{"prompt": ""}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    items = [*answered(["a", "bb", "ccc"]), *answered(["z", "another", "third"])]
    write_answers(folder / "twice.jsonl", items)
    asked = ["--prompts", "rows.jsonl", "--on-bad-row", "skip", "--judge", "length"]
    result = evaluate("base.jsonl", "twice.jsonl", *asked)
    assert result.exit_code == 0, result.output
    found = json.loads((folder / "verdict" / "verdict.json").read_text())
    notes = found["settings"]["notes"]
    assert "rows.jsonl: 1 of 4 rows left out." in notes
    assert "base: 1 of 3 prompts left out: there before." in notes
    assert any("2 lines of twice.jsonl left out: their prompt was there" in n for n in notes)
    assert found["prompts"][0]["answers"]["twice"][0]["text"] == "bb"


def test_columns_that_contradict_each_other_are_said(folder: Path) -> None:
    for name, reference in (("one", "A"), ("two", "B")):
        items = [replace(item, columns={"reference": reference}) for item in answered(["x", "y"])]
        write_answers(folder / f"{name}.jsonl", items)
    result = evaluate("one.jsonl", "two.jsonl", "--judge", "length")
    assert result.exit_code == 0, result.output
    assert "column 'reference': the files of answers contradict each other for 2 of 2" in (
        result.stdout
    )


@pytest.mark.parametrize("name", ["../../out", "a/b", "..", "", "x" * 300])
def test_a_judges_own_name_names_files(folder: Path, name: str) -> None:
    result = evaluate(*MODELS, "--judge", f"{name}=length")
    assert result.exit_code == 2
    assert "A name has no slash" in result.output


def test_gamed_baselines_need_difficulties_before_anybody_is_asked(folder: Path) -> None:
    Path("gamed.csv").write_text("preference,std_delta_len,instruction_difficulty\n1,0.2,0.1\n")
    result = evaluate(*MODELS, "--judge", "longer", "--gamed", "gamed.csv")
    assert isinstance(result.exception, UsageError)
    assert "6 of 6 have no such column" in str(result.exception)
    assert not (folder / "store" / "judged.sqlite").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": "none"}, "'columns' must be an object, found 'none'"),
        ({"prompt": None}, "'prompt' must be text or messages, found None"),
        ({"prompt": []}, "'prompt' must be text or messages"),
        ({"answers": {}}, "'answers' must be a list"),
        ({"answers": ["x"]}, "'answers' must be a list of objects"),
        ({"text": None}, "'text' must be text, found None"),
        ({"finished": "no"}, "'finished' must be true or false, found 'no'"),
        ({"num_tokens": "7"}, "'num_tokens' must be an integer from 0, found '7'"),
        ({"num_tokens": True}, "'num_tokens' must be an integer from 0, found True"),
        ({"seed": 1.5}, "'seed' must be an integer or null, found 1.5"),
        ({"answers": [{}]}, "not a line of answers"),
    ],
)
def test_a_line_of_another_kind_is_named_before_a_judge_is_asked(
    folder: Path, change: dict[str, Any], said: str
) -> None:
    answer = {"text": "x", "finished": True, "num_tokens": 1}
    answer |= {name: value for name, value in change.items() if name in {*answer, "seed"}}
    line = {"prompt": "prompt 0", "answers": [answer], "columns": {}}
    line |= {name: value for name, value in change.items() if name in line}
    Path("odd.jsonl").write_text("\n" + json.dumps(line) + "\n")
    result = evaluate("base.jsonl", "odd.jsonl", "--judge", "length")
    assert isinstance(result.exception, DataError)
    assert "odd.jsonl:2: not a line of answers" in str(result.exception)
    assert said in str(result.exception)
    assert not (folder / "store" / "judged.sqlite").exists()


def test_half_a_surrogate_pair_loses_no_verdict(folder: Path) -> None:
    line = {"prompt": "p", "answers": [{"text": "x\ud83d", "finished": True, "num_tokens": 1}]}
    Path("odd.jsonl").write_text(json.dumps({**line, "columns": {}}) + "\n")
    result = evaluate("odd.jsonl", "--judge", "length")
    assert result.exit_code == 0, result.output
    assert "x\\ud83d" in (folder / "verdict" / "verdict.csv").read_text(encoding="utf-8")
    assert "ud83d" in (folder / "verdict" / "verdict.html").read_text(encoding="utf-8")
