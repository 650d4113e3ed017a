"""`tgdpo evaluate --tasks` on a local task and a tiny model: `make test-lm-eval`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner, Result

pytest.importorskip("lm_eval", reason="make test-lm-eval")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the harness's own dependencies

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402 - after importorskip

from tgdpo_cli.main import cli  # noqa: E402
from tgdpo_core.errors import DataError, UsageError  # noqa: E402

ROWS = [
    {"question": "The sky is", "choices": [" blue", " loud", " seven"], "label": 0},
    {"question": "Grass is", "choices": [" green", " fast"], "label": 0},
    {"question": "Two and two is", "choices": [" five", " four", " a", " not"], "label": 1},
    {"question": "Snow is", "choices": [" hot", " cold and white"], "label": 1},
]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder with one task whose data are a file of ours."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    config = {
        "task": "own_choice",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "label",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "own_choice.yaml").write_text(yaml.safe_dump(config))
    (folder / "own_words.yaml").write_text(
        yaml.safe_dump(
            {
                **config,
                "task": "own_words",
                "output_type": "generate_until",
                "doc_to_target": "{{choices[label]}}",
                "doc_to_choice": None,
                "generation_kwargs": {"until": ["."], "max_gen_toks": 4, "do_sample": False},
                "metric_list": [{"metric": "exact_match"}],
            }
        )
    )
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])


def printed(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)["models"]


@torch.no_grad()
def chosen(folder: Path, question: str, choices: list[str]) -> int:
    """Return the likeliest choice, by a forward for each."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sums = []
    for choice in choices:
        before = tokenizer(question)["input_ids"]
        ids = torch.tensor([tokenizer(question + choice)["input_ids"]])
        logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        sums.append(float(logps.gather(1, ids[0, 1:, None])[len(before) - 1 :].sum()))
    return max(range(len(sums)), key=lambda i: sums[i])


def test_accuracy_is_that_of_plain_forwards(model_folder: Path, tasks: Path) -> None:
    found = [chosen(model_folder, row["question"], row["choices"]) for row in ROWS]
    right = sum(choice == row["label"] for choice, row in zip(found, ROWS, strict=True))
    (row,) = printed(model_folder, "--tasks", "own_choice", "--include-path", tasks)
    (score,) = (each for each in row["scores"] if each["metric"] == "acc")
    assert score["value"] == pytest.approx(right / len(ROWS))
    assert (score["task"], score["num_samples"]) == ("own_choice", len(ROWS))
    assert row["num_requests"] == sum(len(each["choices"]) for each in ROWS)
    assert row["num_cut"] == 0


def test_generated_answers_are_scored(model_folder: Path, tasks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (row,) = printed(
        *(model_folder, "--tasks", "own_words", "--include-path", tasks, "--output-dir", out)
    )
    assert [each["metric"] for each in row["scores"]] == ["exact_match"]
    (folder,) = out.iterdir()
    samples = (folder / "outputs.jsonl").read_text().splitlines()
    assert len(samples) == len(ROWS)
    assert json.loads((folder / "summary.json").read_text())["scores"] == row["scores"]


def test_requests_that_the_harness_cuts_are_counted(
    model_folder: Path, tasks: Path, tmp_path: Path
) -> None:
    long = [{**ROWS[0], "question": "word " * 3000}, ROWS[1]]
    data = tmp_path / "long.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in long))
    arguments = (model_folder, "--tasks", "own_choice", "--include-path", tasks)
    replaced = ("--task-data", f"own_choice.test={data}")
    (row,) = printed(*arguments, *replaced)
    assert row["num_cut"] == len(ROWS[0]["choices"])
    result = run(*arguments, *replaced)
    assert f"{row['num_cut']} of {row['num_requests']} requests were longer" in result.output


def test_a_built_in_task_takes_its_data_from_a_file(model_folder: Path, tmp_path: Path) -> None:
    rows = [
        {
            "question": "Is the sky blue?",
            "mc1_targets": {"choices": ["Yes.", "No."], "labels": [1, 0]},
            "mc2_targets": {"choices": ["Yes.", "It is.", "No."], "labels": [1, 1, 0]},
        }
        for _ in range(2)
    ]
    data = tmp_path / "mc.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = printed(
        *(model_folder, "--tasks", "truthfulqa_mc2"),
        *("--task-data", f"truthfulqa_mc2.validation={data}"),
    )
    (score,) = row["scores"]
    assert (score["task"], score["metric"], score["num_samples"]) == ("truthfulqa_mc2", "acc", 2)
    assert 0 < score["value"] < 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tasks", "truthfulqa_mc22"), "Did you mean 'truthfulqa_mc2'"),
        (("--tasks", "own_choice", "--task-data", "other.test=x.jsonl"), "'other' is not one of"),
        (("--tasks", "own_choice", "--task-data", "own_choice.test=x.jsonl"), "no such file"),
        (("--tasks", "own_choice", "--task-data", "own_choice.test=x.txt"), "one kind of file"),
    ],
)
def test_tasks_are_checked_before_a_model_is_loaded(
    arguments: tuple[str, ...], said: str, tasks: Path
) -> None:
    result = run("no-such-model", *arguments, "--include-path", tasks)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


def test_data_that_cannot_be_had_are_said(model_folder: Path, tasks: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((tasks / "own_choice.yaml").read_text())
    config |= {"task": "gone", "dataset_kwargs": {"data_files": {"test": "/no/such.jsonl"}}}
    (tasks / "gone.yaml").write_text(yaml.safe_dump(config))
    result = run(model_folder, "--tasks", "gone", "--include-path", tasks)
    assert isinstance(result.exception, DataError)
    assert "--task-data TASK.SPLIT=FILE" in str(result.exception)
