"""The quick forms of the real-model world run from prompts to a report, on a tiny random model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.conftest import tiny_llama
from tests.in_process import InProcess
from tgdpo_cli.main import cli
from tgdpo_core.experiments import executors

WORDS = ["good", "bad", "happy", "sad", "lovely", "horrible", "day", "train", "tea", "."]
TEMPLATE = (
    "{% for m in messages %}{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # what Metaspace writes for one


@pytest.fixture(scope="module")
def friend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that says words with a mood, one of them in a token."""
    pieces = ["<s>", "</s>", "<pad>", "[UNK]", *(SPACE + word for word in WORDS)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="[UNK]",
        chat_template=TEMPLATE,
    )
    folder = tmp_path_factory.mktemp("friend")
    tiny_llama(len(vocabulary)).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def ablated(name: str, model: Path, out: Path, *options: str) -> pd.DataFrame:
    """Run the quick form of an ablation and return its evaluations."""
    arguments = ["ablate", "--config", name, "--quick", "--output-dir", str(out)]
    arguments += ["--jobs", "1", "--cpus-per-cell", "1", "--set", f"model.name_or_path={model}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "LocalExecutor", InProcess)
        done = CliRunner().invoke(
            cli, [*arguments, *options], catch_exceptions=False, standalone_mode=False
        )
    assert not done.return_value, done.output
    return pd.read_csv(out / "results.csv")


@pytest.fixture(scope="module")
def mood(friend: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("mood") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TGDPO_STORE", str(out.with_name("store")))
        return out, ablated("smol-mood", friend, out)


def test_the_world_mood_goes_from_prompts_to_a_report(mood: tuple[Path, pd.DataFrame]) -> None:
    out, rows = mood
    assert {"oracle", "oracle+class-mean", "oracle+permute", "learned"} <= set(rows["cell"])
    steps = sorted(set(rows["step"]))
    assert steps == [0, 2, 4]
    assert rows.loc[rows["step"] == 0, "judge/kl"].eq(0).all()
    assert rows["judge/finished"].between(0, 1).all()
    assert "Against the best-tuned baseline" in (out / "results.md").read_text(encoding="utf-8")


def test_its_pairs_are_made_of_the_models_own_answers(mood: tuple[Path, pd.DataFrame]) -> None:
    made = mood[0] / "prepared" / "pairs" / "seed-0"
    row: dict[str, Any] = json.loads((made / "train.jsonl").read_text().splitlines()[0])
    assert row["chosen_score"] - row["rejected_score"] >= 0.05
    assert row["chosen_finished"]
    assert (made / "README.md").exists()


def test_hh_is_judged_by_the_likelihood_of_held_out_pairs(friend: Path, tmp_path: Path) -> None:
    data = tmp_path / "hh.jsonl"
    rows = [
        {
            "chosen": f"\n\nHuman: good tea {i} ?\n\nAssistant: lovely day .",
            "rejected": f"\n\nHuman: good tea {i} ?\n\nAssistant: sad train {i} .",
        }
        for i in range(24)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = ["--set", f"data.path={data}", "--set", f"data.eval_path={data}"]
    found = ablated("smol-hh", friend, tmp_path / "out", *places)
    assert {"dpo,beta=0.1", "induced", "learned"} <= set(found["cell"])
    assert found["judge/pairs"].between(0, 1).all()


@pytest.mark.checkout
def test_the_kit_for_a_card_goes_on_with_the_grid(
    friend: Path, mood: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.gpu import __main__ as kit

    out, _ = mood
    monkeypatch.setenv("TGDPO_STORE", str(out.with_name("store")))
    shutil.rmtree(out / "cells" / "learned")
    grid = ["--world", "--small", "--device", "cpu", "--jobs", "1", "--output", str(out.parent)]
    missing = CliRunner().invoke(kit.main, grid)
    assert missing.exit_code == 2
    assert "examples/smollm2.py" in missing.output
    done = CliRunner().invoke(kit.main, [*grid, "--model", str(friend)])
    assert done.exit_code == 0, done.output
    facts = json.loads((out.parent / "world.jsonl").read_text())
    assert facts["runs_of_this_call"] == 1
    assert facts["runs"] == facts["of"] > 5


@pytest.mark.checkout
def test_a_grid_that_ran_out_of_time_says_so(friend: Path, tmp_path: Path) -> None:
    from benchmarks.gpu import world

    arguments: dict[str, Any] = {"jobs": 1, "seconds": 0, "small": True}
    facts = world.run(friend, tmp_path, "cpu", **arguments)
    assert facts["exit"] != 0
    assert facts["runs"] == facts["runs_of_this_call"] == 0
