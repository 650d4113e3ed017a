"""``tgdpo bench reward`` and ``tgdpo train-prm``: files, messages and exit codes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tgdpo_cli.main import cli, run

ROWS = [
    {
        "prompt": f"Question {i}?\n",
        "chosen": "Two plus two is four.\nYes.",
        "rejected": f"The cat sat.\nTwo plus {i} is five.\nNo.",
        "rejected_steps": ["The cat sat.", f"Two plus {i} is five.", "No."],
        "first_error_step": 1 + i % 3,
    }
    for i in range(8)
]


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    return write(tmp_path / "marks.jsonl", ROWS)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tgdpo(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = run(
        lambda: cli.main([str(a) for a in arguments], prog_name="tgdpo", standalone_mode=False)
    )
    out, err = capsys.readouterr()
    return code, out, err


def test_a_bench_writes_its_table_page_figure_and_results(
    tmp_path: Path, marks: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bench"
    options = ("--dataset", marks, "--model", model_folder, "--resamples", 50)
    code, out, err = tgdpo(
        capsys, *("bench", "reward", "confidence", "noise=random", *options, "--output-dir", folder)
    )
    assert code == 0, err
    assert "8 of 8 rows, 8 problems, 16 responses: 8 with a marked error" in out
    assert "confidence: follows the policy in training; here it was scored at the reference." in out

    results = json.loads((folder / "results.json").read_text())
    labels = [reward["label"] for reward in results["rewards"]]
    assert labels == ["confidence", "noise", "position", "random"]
    confidence = results["rewards"][0]
    assert set(confidence["controls"]) == {"permute", "sequence-mean"}
    assert set(confidence["gains"]) == {"position", "permute", "sequence-mean"}
    assert confidence["signs"] == "never positive"
    for estimate in confidence["estimates"].values():
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
    # Position falls along the response: whatever is wrong is behind what is right before it.
    position = results["rewards"][2]["estimates"]
    assert position["within_auc"]["value"] == 1

    text = (folder / "bench.md").read_text()
    assert "| confidence + permute |" in text
    page = (folder / "bench.html").read_text()
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=[\"']?http", page)
    assert page.count("<svg") == 1
    assert (folder / "bench.svg").read_text().startswith("<svg")

    again = tgdpo(capsys, *("bench", "reward", "confidence", *options, "--output-dir", folder))
    assert again[0] == 2
    assert "holds the results of a bench" in again[2]


def test_an_exact_reward_finds_every_error_of_the_playground(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = tgdpo(
        capsys,
        *("bench", "reward", "playground-oracle", "--dataset", "playground", "--limit", 12),
        *("--resamples", 0, "--json"),
    )
    assert code == 0, err
    oracle = json.loads(out)["rewards"][0]
    found = {name: each["value"] for name, each in oracle["estimates"].items()}
    for name in ("token_auc", "step_auc", "within_auc", "f1", "pair_accuracy"):
        assert found[name] == 1
    assert "class-mean" in oracle["controls"]


def test_two_benches_of_the_same_rows_are_compared_and_others_are_told_apart(
    tmp_path: Path, marks: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", model_folder, "--resamples", 0)
    first = ("bench", "reward", "random", "--dataset", marks, *options)
    renamed = ("bench", "reward", "r=random", "--dataset", marks, *options)
    assert tgdpo(capsys, *renamed, "--output-dir", tmp_path / "old")[0] == 0
    code, out, _ = tgdpo(capsys, *renamed, "--compare", tmp_path / "old")
    assert code == 0
    assert "Before and now" in out
    assert "Warning" not in out
    other = write(tmp_path / "other.jsonl", ROWS[:5])
    reward = ("bench", "reward", "r=random", "--reward-arg", "seed=3", "--dataset", other)
    code, out, _ = tgdpo(capsys, *reward, *options, "--compare", tmp_path / "old/results.json")
    assert "Warning: Other rows or tokens" in out
    assert "Warning: r: the reward is another one than before" in out
    code, _, err = tgdpo(capsys, *first)
    assert code == 2
    assert "stands twice" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["confidence", "confidence"], 2, "stands twice"),
        (["confidenc"], 4, "confidence"),
        (["a=column", "b=column", "--reward-arg", "name=x"], 2, "write a.name or b.name"),
        (["confidence", "--reward-arg", "c.x=1"], 2, "no reward 'c' here"),
        (["confidence", "--compare", "nowhere"], 2, "nowhere"),
        (["confidence", "--max-length", "9"], 3, "8 of 8 rows cannot be used"),
        (["confidence", "--control", "nonsense"], 4, "nonsense"),
    ],
)
def test_what_cannot_be_benched_is_refused(
    marks: Path,
    model_folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    options = ("--dataset", marks, "--model", model_folder)
    found, _, err = tgdpo(capsys, "bench", "reward", *arguments, *options)
    assert found == code
    assert said in err


def test_a_judge_that_knows_no_errors_is_refused(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write(tmp_path / "p.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}])
    options = ("--dataset", pairs, "--model", model_folder)
    code, _, err = tgdpo(capsys, "bench", "reward", "confidence", *options, "--judge", "likelihood")
    assert (code, "does not know where errors are" in err) == (4, True)


def test_bad_rows_are_named_or_counted(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.jsonl", [*ROWS, {"prompt": "q", "steps": ["a"], "label": 5}])
    bench = ("bench", "reward", "confidence", "--dataset", path, "--model", model_folder)
    code, _, err = tgdpo(capsys, *bench)
    assert code == 3
    assert "m.jsonl:9: 'label' must be 0 to 0, or -1, found 5" in err
    assert "--on-bad-row skip" in err
    code, out, _ = tgdpo(capsys, *bench, "--on-bad-row", "skip", "--resamples", 0)
    assert code == 0
    assert "1 rows were left out" in out


def test_labels_become_a_reward_that_finds_errors(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "prompt": f"Question {i}?",
            "completions": ["The cat sat.", "Yes." if i % 3 else "No.", "She sells."],
            "labels": [True, bool(i % 3), True],
        }
        for i in range(24)
    ]
    path, prm = write(tmp_path / "m.jsonl", rows), tmp_path / "prm"
    train = (
        *("train-prm", "--model", model_folder, "--dataset", path, "--output-dir", prm),
        *("--epochs", 20, "--learning-rate", "1e-2", "--batch-size", 6, "--held-out", 0.25),
    )
    code, out, err = tgdpo(capsys, *train)
    assert code == 0, err
    assert "Step AUC on held-out problems: 1.000" in out
    record = json.loads((prm / "prm.json").read_text())
    assert record["measured"]["held_out_responses"] == 6

    code, out, _ = tgdpo(capsys, *train)
    assert code == 0
    assert "holds this reward model already" in out
    assert "Step AUC on held-out problems: 1.000" in out
    code, _, err = tgdpo(capsys, *train, "--target", "wrong")
    assert (code, "target=unknown. Asked for: target=wrong" in err) == (2, True)

    code, out, err = tgdpo(
        capsys,
        *("bench", "reward", "dense-prm", "--dataset", path, "--model", model_folder, "--json"),
        *("--reward-arg", f"model={prm}", "--reward-arg", "preset=token-classification"),
        *("--resamples", 0),
    )
    assert code == 0, err
    assert json.loads(out)["rewards"][0]["estimates"]["step_auc"]["value"] == 1


@pytest.mark.parametrize(
    ("rows", "arguments", "code", "said"),
    [
        ([{"prompt": "q", "completions": ["a"], "labels": [True]}], [], 3, "both kinds are needed"),
        ([{"prompt": "q", "steps": ["a\nb"], "label": 0}], [], 3, "holds the separator"),
        ([{"prompt": "q", "steps": ["a", "b"], "label": 1}], ["--held-out", "1"], 2, "held_out"),
        ([{"prompt": "q", "response": "a", "error_spans": []}], [], 3, "marks are characters"),
        ([{"prompt": "q", "chosen": "a", "rejected": "b"}], [], 3, "no marks of errors"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    tmp_path: Path,
    model_folder: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[dict[str, Any]],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    path = write(tmp_path / "m.jsonl", rows)
    options = ("--model", model_folder, "--dataset", path, "--output-dir", tmp_path / "prm")
    found, _, err = tgdpo(capsys, "train-prm", *options, *arguments)
    assert (found, said in err) == (code, True), err
    assert not (tmp_path / "prm").exists()


def test_a_folder_that_holds_something_else_is_left_alone(
    tmp_path: Path, marks: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    options = ("--model", model_folder, "--dataset", marks, "--output-dir", tmp_path / "full")
    for more in ((), ("--overwrite",)):
        code, _, err = tgdpo(capsys, "train-prm", *options, *more)
        assert (code, "is not empty: it holds mine.txt and no reward model" in err) == (2, True)
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_only_a_reward_model_is_overwritten(
    tmp_path: Path, marks: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prm, run_folder = tmp_path / "prm", tmp_path / "run"
    (run_folder / "model").mkdir(parents=True)
    (run_folder / "run.json").write_text("{}")
    (tmp_path / "prm.part").mkdir()  # of somebody else
    train = ("train-prm", "--model", model_folder, "--dataset", marks, "--epochs", 1)
    code, _, err = tgdpo(capsys, *train, "--output-dir", run_folder, "--overwrite")
    assert (code, "holds model, run.json and no reward model" in err) == (2, True)
    for more in ((), ("--overwrite", "--target", "wrong")):
        code, _, err = tgdpo(capsys, *train, "--output-dir", prm, *more)
        assert code == 0, err
    assert json.loads((prm / "prm.json").read_text())["options"]["target"] == "wrong"
    (prm / "thesis.txt").write_text("mine")
    code, _, err = tgdpo(capsys, *train, "--output-dir", prm, "--overwrite")
    assert (code, "holds thesis.txt beside a reward model" in err) == (2, True)
    assert (prm / "thesis.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} >= {"prm.part", "prm", "run"}
    assert not list(tmp_path.glob(".prm*"))


def test_one_problem_has_no_first_error_accuracies_and_no_intervals(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "one.jsonl", [row | {"prompt": "Question?\n"} for row in ROWS])
    options = ("--dataset", path, "--model", model_folder, "--resamples", 20, "--json")
    code, out, err = tgdpo(capsys, "bench", "reward", "confidence", *options)
    assert code == 0, err
    found = json.loads(out)["rewards"][0]
    for name in ("f1", "error_accuracy", "correct_accuracy", "brier_skill"):
        assert found["estimates"][name] == {"value": None, "low": None, "high": None}
    assert found["estimates"]["step_auc"]["value"] is not None
    assert found["estimates"]["step_auc"]["low"] is None
    assert found["thresholds"] == []
