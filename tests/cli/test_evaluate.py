"""``tgdpo evaluate``: judges of answers and of pairs, what is printed and what is kept."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from tgdpo_cli.main import cli
from tgdpo_core import Generation
from tgdpo_core.errors import DataError, UsageError
from tgdpo_plugins.judges.reward_model import RewardModelJudge
from tgdpo_plugins.playground.dataset import Playground


@pytest.fixture
def base(model_folder: Path, rows_file: Path) -> list[str]:
    return ["evaluate", str(model_folder), "--dataset", str(rows_file), "--split", "train"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def printed(*arguments: str) -> Any:
    """Return the JSON that a command prints; it must succeed."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["models"]


@torch.no_grad()
def wins(folder: Path, rows: Sequence[dict[str, Any]], *, per_token: bool) -> list[bool]:
    """Return whether each chosen response is likelier, by a forward for each response."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for row in rows:
        num_prompt = len(tokenizer(row["prompt"])["input_ids"])
        values = []
        for side in ("chosen", "rejected"):
            text = row["prompt"] + row[side]
            ids = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
            logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            of_response = logps.gather(1, ids[0, 1:, None])[num_prompt - 1 :]
            values.append(float(of_response.mean() if per_token else of_response.sum()))
        found.append(values[0] > values[1])
    return found


@pytest.mark.parametrize(("normalize", "per_token"), [("none", False), ("length", True)])
def test_the_accuracy_of_likelihoods_is_that_of_plain_forwards(
    normalize: str,
    per_token: bool,
    base: list[str],
    model_folder: Path,
    small_rows: list[dict[str, Any]],
) -> None:
    expected = torch.tensor(wins(model_folder, small_rows, per_token=per_token)).double()
    assert 0 < expected.mean() < 1
    command = [*base, "--judge", "likelihood", "--judge-arg", f"normalize={normalize}"]
    (row,) = printed(*command)
    assert row["num_pairs"] == 12
    assert row["score"]["mean"] == pytest.approx(expected.mean().item())
    assert row["score"]["standard_error"] == pytest.approx(expected.std().item() / 12**0.5)
    assert not {"greedy", "sampled", "num_prompts"} & set(row)


def test_pairs_are_shown_in_one_column(base: list[str]) -> None:
    result = run(*base, "--judge", "likelihood", "--limit", "4")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["model", "score", "loss"]
    assert "4 pairs, score +- standard error." in result.stdout


def test_a_response_that_is_cut_is_said(base: list[str]) -> None:
    result = run(*base, "--judge", "likelihood", "--max-length", "30", "--json")
    assert result.exit_code == 0, result.output
    assert "of 12 pairs: rejected_truncated" in result.stderr
    assert json.loads(result.stdout)["models"][0]["num_pairs"] == 12


def test_pairs_longer_than_the_model_are_refused(
    base: list[str], tmp_path: Path, model_folder: Path
) -> None:
    small = tmp_path / "small"
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    model.config.max_position_embeddings = 20
    model.save_pretrained(small)
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(small)
    result = run(*base, str(small), "--judge", "likelihood")
    assert isinstance(result.exception, DataError)
    assert "the model has 20 positions" in str(result.exception)


@pytest.fixture
def variants(tmp_path: Path) -> list[str]:
    """The playground's model with more and more noise, as cells/NAME/seed-0."""
    source = str(Playground.model)
    tokenizer = AutoTokenizer.from_pretrained(source)
    folders = []
    for name, std in (("noisy,1", 0.3), ("noisy,0", 0.01), ("noisy,2", 1.0), ("clean", 0.0)):
        model = AutoModelForCausalLM.from_pretrained(source)
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=std)
        folder = tmp_path / "cells" / name / "seed-0"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders.append(str(folder))
    return folders


SPLITS_OF_PLAYGROUND = ["--dataset", "playground", "--split", "test"]
CHOOSE = ["--choose-split", "selection", "--best-of", "noisy,*"]


@pytest.mark.parametrize(
    ("judge", "score"),
    [
        (["likelihood", "--limit", "60"], "score"),
        (["verifier", "--limit", "40", "--max-new-tokens", "32"], "sampled"),
    ],
)
def test_the_best_of_a_group_is_chosen_on_other_rows(
    variants: list[str], judge: list[str], score: str
) -> None:
    command = ["evaluate", *variants, "--dataset", "playground", "--judge", *judge]
    rows = printed(*command, "--split", "test", *CHOOSE)
    alone = printed(*command, "--split", "selection")
    assert [row["model"] for row in rows] == ["noisy,1", "noisy,0", "noisy,2", "clean"]
    for row, other in zip(rows[:3], alone, strict=False):
        assert row["selection"] == other[score]
    assert [row.get("best_of") for row in rows] == [[], ["noisy,*"], [], None]
    assert rows[1][score] != alone[1][score]  # what is reported is of other rows


def test_the_chosen_model_is_marked_and_reported(variants: list[str]) -> None:
    limit = ["--judge", "likelihood", "--limit", "40"]
    result = run("evaluate", *variants, *SPLITS_OF_PLAYGROUND, *limit, *CHOOSE)
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert lines["model"].split()[:4] == ["model", "chosen", "by", "score"]
    assert [name for name in lines if " * " in lines[name]] == ["noisy,0"]
    assert lines["clean"].split()[1] == "-"
    assert "on other rows (selection, 40 rows)" in result.stdout
    chosen = lines["noisy,*"].split()
    assert chosen[1] == "noisy,0"
    assert " ".join(chosen[2:]) in lines["noisy,0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--best-of", "*"], "--best-of and --choose-split go together"),
        (["--choose-split", "selection"], "--best-of and --choose-split go together"),
        (["--choose-split", "selection", "--best-of", "dpo*"], "matches none"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(
    variants: list[str], options: list[str], message: str
) -> None:
    command = ["evaluate", *variants, *SPLITS_OF_PLAYGROUND, "--judge", "likelihood"]
    result = run(*command, *options)
    assert result.exit_code
    assert message in result.output + str(result.exception)


@pytest.mark.parametrize(
    ("judge", "option", "reads"),
    [
        ("likelihood", "--samples=2", "pairs"),
        ("likelihood", "--max-new-tokens=8", "pairs"),
        ("likelihood", "--seed=0", "pairs"),
        ("verifier", "--max-length=64", "answers"),
    ],
)
def test_an_option_of_the_other_sort_of_judge_is_refused(
    judge: str, option: str, reads: str, base: list[str]
) -> None:
    result = run(*base, "--judge", judge, option)
    assert result.exit_code == 2
    name = option.partition("=")[0]
    assert f"{name}: judge '{judge}' reads {reads} and has no use for it." in result.stderr


def test_what_is_judged_of_a_run_is_kept_by_judge(
    base: list[str], model_folder: Path, rows_file: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "long.py"
    plugin.write_text(
        "from tgdpo_core import Judge, hookimpl\n"
        "class Long(Judge):\n    def score(self, batch):\n"
        "        return [float(len(x.response)) for x in batch]\n"
        "@hookimpl\ndef register_judges(register):\n    register('long', Long)\n"
    )
    folder = tmp_path / "run"
    trained = run(
        *("train", "--model", str(model_folder), "--dataset", str(rows_file)),
        *("--output-dir", str(folder), "--set", "training.max_steps=1"),
        *("--set", "training.use_cpu=true", "--reward-plugin", "none"),
    )
    assert trained.exit_code == 0, trained.output
    (evaluate, _, *rest) = base
    (pairs,) = printed(evaluate, str(folder), *rest, "--judge", "likelihood")
    (answers,) = printed(
        *("--plugin-file", str(plugin), evaluate, str(folder), *rest),
        *("--judge", "long", "--max-new-tokens", "3"),
    )
    for name, row, key in (("likelihood", pairs, "score"), ("long", answers, "sampled")):
        kept = folder / "evaluation" / name
        summary = json.loads((kept / "summary.json").read_text())
        assert summary[key] == row[key]
        assert (summary["judge"], summary["split"]) == (name, "train")
        assert len((kept / "outputs.jsonl").read_text().splitlines()) == 12
    printed(
        *("--plugin-file", str(plugin), evaluate, str(folder), "--prompts", str(rows_file)),
        *("--split", "train", "--judge", "long", "--max-new-tokens", "3"),
        *("--output-dir", str(tmp_path / "verdict")),
    )
    verdict = json.loads((folder / "evaluation" / "long" / "verdict.json").read_text())
    assert verdict["scores"][0]["mean"]["value"] == pytest.approx(answers["sampled"]["mean"])
    assert (verdict["model"], verdict["answers"]["num_answers"]) == ("run", 12)
    assert Path(verdict["verdict"]) == tmp_path / "verdict"


@pytest.fixture
def reward_folder(tmp_path: Path, small_tokenizer: Any) -> Path:
    """A tiny random reward model."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(small_tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        initializer_range=0.4,
    )
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "reward")
    small_tokenizer.save_pretrained(tmp_path / "reward")
    return tmp_path / "reward"


def test_a_reward_model_judges_the_greedy_answers(
    base: list[str], model_folder: Path, small_rows: list[dict[str, Any]], reward_folder: Path
) -> None:
    command = [*base, "--judge", "reward-model", "--judge-arg", f"model={reward_folder}"]
    (row,) = printed(*command, "--greedy", "--max-new-tokens", "6", "--limit", "3")
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    batch = []
    for each in small_rows[:3]:
        ids = tokenizer(each["prompt"], return_tensors="pt", return_token_type_ids=False)
        output = model.generate(**ids, do_sample=False, max_new_tokens=6)
        new = output[0, ids["input_ids"].shape[1] :]
        batch.append(Generation(each["prompt"], tokenizer.decode(new, skip_special_tokens=True)))
    judge = RewardModelJudge(model=str(reward_folder))
    judge.setup()
    expected = judge.score(batch)
    assert row["greedy"]["mean"] == pytest.approx(sum(expected) / 3, abs=1e-5)


def test_a_reward_model_without_head_is_refused_before_anything_is_generated(
    base: list[str], model_folder: Path
) -> None:
    result = run(*base, "--judge", "reward-model", "--judge-arg", f"model={model_folder}")
    assert isinstance(result.exception, UsageError)
    assert "score.weight" in str(result.exception)
