"""``tgdpo generate``, and ``tgdpo evaluate`` on prompts alone: records, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.core.generation.openai_server import openai_server
from tgdpo_cli.main import cli
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.generation.answers import AnsweredPrompt, read_answers

JUDGE = (
    "from tgdpo_core import Judge, hookimpl\n"
    "class Long(Judge):\n    def score(self, batch):\n"
    "        return [float(len(x.response)) for x in batch]\n"
    "@hookimpl\ndef register_judges(register):\n    register('long', Long)\n"
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    """A file of prompts alone."""
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"The cat {i}", "topic": i} for i in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def judge(tmp_path: Path) -> str:
    """A plugin file with a judge of answers."""
    path = tmp_path / "judge.py"
    path.write_text(JUDGE)
    return str(path)


def generated(model: str, prompts: str, output: Path, *options: str) -> list[AnsweredPrompt]:
    command = ["generate", model, "--prompts", prompts, "--output", str(output)]
    result = run(*command, "--max-new-tokens", "6", *options)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return list(read_answers(output))


def test_answers_to_prompts_alone_are_written_with_their_columns(
    model_folder: Path, prompts: str, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "answers.jsonl"
    found = generated(str(model_folder), prompts, output, "--samples", "2", "--greedy")
    assert [item.prompt for item in found] == [f"The cat {i}" for i in range(4)]
    assert [item.columns for item in found] == [{"topic": i} for i in range(4)]
    for item in found:
        assert [answer.seed is None for answer in item.answers] == [True, False, False]
        assert all(1 <= answer.num_tokens <= 6 for answer in item.answers)


def test_the_same_command_finds_its_answers_and_batches_change_none(
    model_folder: Path, prompts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = generated(str(model_folder), prompts, tmp_path / "a.jsonl", "--batch-size", "1")
    command = ["generate", str(model_folder), "--prompts", prompts, "--max-new-tokens", "6"]
    result = run(*command, "--output", str(tmp_path / "b.jsonl"))
    assert "4 answers were in the store." in result.stdout
    monkeypatch.setenv("TGDPO_STORE", str(tmp_path / "another"))
    again = generated(str(model_folder), prompts, tmp_path / "c.jsonl", "--batch-size", "3")
    assert first == again == list(read_answers(tmp_path / "b.jsonl"))


def test_a_server_answers_by_the_name_of_its_model(prompts: str, tmp_path: Path) -> None:
    with openai_server() as server:
        options = ["--engine", "openai", "--engine-arg", f"url={server.url}", "--system", "Hi."]
        output = tmp_path / "answers.jsonl"
        found = generated("tiny", prompts, output, *options, "--prompt-form", "chat")
        assert {body["model"] for _, _, body in server.asked} == {"tiny"}
        assert {body["messages"][0]["content"] for _, _, body in server.asked} == {"Hi."}
    assert [item.answers[0].text for item in found] == [
        f"answer {item.answers[0].seed}" for item in found
    ]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--samples", "0"], UsageError, "No answer would be drawn"),
        (["--temperature", "0"], UsageError, "temperature must be above 0"),
        (["--top-p", "1.5"], UsageError, "top_p must be above 0 and at most 1"),
        (["--engine-arg", "url=http://h"], UsageError, "transformers has no options; got url"),
        (["--system", "Hi."], DataError, "the prompt is text, which has no place for a system"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    model_folder: Path,
    prompts: str,
    tmp_path: Path,
    options: list[str],
    error: type[Exception],
    message: str,
) -> None:
    output = tmp_path / "answers.jsonl"
    result = run(
        "generate", str(model_folder), "--prompts", prompts, "--output", str(output), *options
    )
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not output.exists()


def test_the_file_of_prompts_is_not_written_over(model_folder: Path, prompts: str) -> None:
    before = Path(prompts).read_bytes()
    result = run("generate", str(model_folder), "--prompts", prompts, "--output", prompts)
    assert result.exit_code == 2
    assert "is the file of the prompts" in result.output
    assert Path(prompts).read_bytes() == before


def test_an_empty_prompt_is_said_to_be_empty(model_folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": " "}) + "\n")
    result = run(
        "generate", str(model_folder), "--prompts", str(rows), "--output", str(tmp_path / "a")
    )
    assert "'prompt' is empty" in str(result.exception)


def test_an_answer_at_the_end_of_a_dialogue_is_left_out_and_counted(
    model_folder: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows.write_text(json.dumps({"messages": turns}) + "\n")
    result = run(
        "generate",
        str(model_folder),
        *("--prompts", str(rows), "--output", str(tmp_path / "a"), "--max-new-tokens", "3"),
    )
    assert result.exit_code == 0, repr(result.exception)
    assert "last_answer_left_out: 1 of 1 rows" in result.stderr


def evaluated(model: str, prompts: str, judge: str, *options: str) -> Any:
    command = ["--plugin-file", judge, "evaluate", model, "--dataset", prompts, "--judge", "long"]
    result = run(*command, "--max-new-tokens", "6", "--json", *options)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return json.loads(result.stdout)["models"][0]


def test_a_judge_of_answers_needs_prompts_only(
    model_folder: Path, prompts: str, judge: str
) -> None:
    row = evaluated(str(model_folder), prompts, judge)
    assert row["num_prompts"] == 4
    assert "greedy" not in row
    assert 0 <= row["finished"] <= 1 <= row["tokens"] <= 6


def test_the_table_says_how_answers_ended_and_what_cut_ones_score(
    model_folder: Path, prompts: str, judge: str
) -> None:
    command = ["--plugin-file", judge, "evaluate", str(model_folder), "--dataset", prompts]
    command += ["--judge", "long", "--max-new-tokens", "1"]
    result = run(*command)
    assert result.stdout.splitlines()[0].split()[:4] == ["model", "sampled", "finished", "tokens"]
    assert "Unfinished answers are scored as they are (--unfinished score)." in result.stdout
    skipped = run(*command, "--unfinished", "skip")
    assert "Unfinished answers are left out (--unfinished skip)." in skipped.stdout
    assert "4 prompts without a sampled score." in skipped.stdout


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed"])
def test_a_model_has_no_kl_to_itself_in_any_format(
    model_folder: Path, prompts: str, judge: str, dtype: str
) -> None:
    options = ["--kl", "--reference", str(model_folder), "--dtype", dtype]
    row = evaluated(str(model_folder), prompts, judge, *options)
    assert row["kl"] == {"mean": 0, "standard_error": 0, "num_left_out": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kl"], "--kl and --reference go together"),
        (["--kl", "--reference", "MODEL", "--samples", "0", "--greedy"], "ask for --samples"),
    ],
)
def test_a_kl_that_cannot_be_measured_is_refused(
    model_folder: Path, prompts: str, judge: str, options: list[str], message: str
) -> None:
    given = [str(model_folder) if each == "MODEL" else each for each in options]
    command = ["--plugin-file", judge, "evaluate", str(model_folder), "--dataset", prompts]
    result = run(*command, "--judge", "long", "--max-new-tokens", "2", *given)
    assert result.exit_code == 2 or isinstance(result.exception, UsageError)
    assert message in result.output + str(result.exception)


def test_a_judge_of_pairs_still_needs_them_and_names_an_option_that_exists(
    model_folder: Path, prompts: str
) -> None:
    command = ["evaluate", str(model_folder), "--dataset", prompts, "--judge", "likelihood"]
    result = run(*command)
    assert isinstance(result.exception, DataError)
    said = str(result.exception)
    assert "no field 'chosen'" in said
    assert "--on-bad-row skip" in said
    assert "--columns chosen=COLUMN" in said
    assert "--set" not in said
