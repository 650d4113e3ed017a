"""The model card: what the Hub reads, what people read, and a snippet that runs."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from transformers import AutoConfig, AutoModelForCausalLM

from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.models.adapters import with_lora
from tgdpo_core.training.base_model import base_model, is_hub_id
from tgdpo_core.training.judged_scores import judged_scores
from tgdpo_core.training.model_card import CardFacts, model_card

EVIL = "x`\n# INJECTED\n<script>alert(1)</script> | [a](b) \x1b[2J"
MakeTrainer = Callable[..., TGDPOTrainer]


def facts(**more: Any) -> dict[str, Any]:
    """Return what run.json would say of a run."""
    return {
        "model": "org/small",
        "dataset": "org/pairs",
        "hub_datasets": ["org/pairs"],
        "reward_sources": [
            {"name": "induced", "options": {"beta": 0.2}, "weight": 1.0, "summary": "Says r."}
        ],
        "shaping": {"name": "linear", "options": {"alpha": 0.5}, "summary": "f_w = 1 + alpha r"},
        "loss": {"name": "sigmoid"},
        "diagnostics": {"num_pairs": 7},
        **more,
    }


@pytest.fixture
def args(tmp_path: Path) -> TGDPOConfig:
    return TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True)


def test_S5_names_make_no_heading_no_tag_and_no_code_span(args: TGDPOConfig) -> None:
    evil = facts(
        model=EVIL,
        dataset=EVIL,
        reward_sources=[{"name": EVIL, "options": {EVIL: EVIL}, "summary": EVIL}],
        shaping={"name": EVIL, "options": {"note": EVIL}, "summary": EVIL},
        judge=EVIL,
        evaluation_dataset=EVIL,
    )
    card = model_card(EVIL, args, CardFacts(evil, {}, scores={"judge/greedy": [0.0, 1.0]}))
    body = card.split("---\n", 2)[2]
    lines = body.splitlines()
    assert not any(line.startswith("# INJECTED") for line in lines)
    assert "\x1b" not in body
    outside = [part for line in lines for part in line.split("`")[::2]]
    assert not any("<script" in part for part in outside)
    assert not any("[a](b)" in part for part in outside)


def test_the_metadata_name_base_model_data_and_judged_results(args: TGDPOConfig) -> None:
    known = facts(judge="verifier", evaluation_dataset="playground")
    scores = {"judge/greedy": [1.0, 0.0, 1.0, 1.0], "judge/kl": [0.5, 0.7]}
    card = model_card("mine", args, CardFacts(known, {"loss": 0.25}, scores=scores))
    data = ModelCard(card).data
    assert (data.base_model, data.datasets) == ("org/small", ["org/pairs"])
    assert {"tgdpo", "dpo"} <= set(data.tags)
    (result,) = data.eval_results or ()
    assert (result.metric_type, result.metric_value) == ("greedy", 0.75)
    assert (result.dataset_name, result.dataset_type) == ("playground", "custom")
    assert "| judge/greedy | 0.75 | 0.3006 to 0.9544 | 4 |" in card
    assert "| judge/kl | 0.6 |" in card
    assert "| loss | 0.25 |" in card


def test_reward_shaping_and_loss_are_prose_and_a_table(args: TGDPOConfig) -> None:
    card = model_card("mine", args, CardFacts(facts(), {}))
    assert "Shaping `linear`: f_w = 1 + alpha r" in card
    assert "Token reward `induced`: Says r." in card
    assert "| token reward | induced beta=0.2 |" in card
    assert "| shaping | linear alpha=0.5 |" in card
    assert "| loss | sigmoid, beta=0.1 |" in card
    assert "arxiv.org/abs/2506.14574" in card
    assert "title     = {{TGDPO}: Harnessing" in card


def test_a_folder_is_no_base_model_and_tells_no_path(
    args: TGDPOConfig, model_folder: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.touch()
    known = facts(
        model=str(model_folder),
        dataset=str(rows),
        hub_datasets=[],
        reward_sources=[{"name": "induced", "options": {"model": str(model_folder)}}],
    )
    config = AutoConfig.from_pretrained(model_folder)
    card = model_card("mine", args, CardFacts(known, {}, config=config))
    data = ModelCard(card).data
    assert (data.base_model, data.datasets) == (None, None)
    assert str(model_folder.parent) not in card
    assert str(tmp_path) not in card
    assert f"`{model_folder.name}` (" in card
    assert "layers" in card
    assert "where it comes from is not known here" in card


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("org/model", True),
        ("gpt2", True),
        ("/abs/folder", False),
        ("./x", False),
        ("runs/dpo/model", False),
        ("here/nothing", False),
        ("", False),
    ],
)
def test_only_what_can_be_an_id_of_the_hub_counts_as_one(
    name: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_hub_id(name) == expected


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n# x\n", "apache-2.0"),
        ("# no metadata\n", None),
        ("---\n: [broken\n---\n", None),
        (None, None),
    ],
)
def test_the_licence_is_what_the_model_s_own_card_names(
    card: str | None, expected: str | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    if card is not None:
        (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert base_model(str(tmp_path), None).licence == expected


def test_an_interval_of_zeros_and_ones_has_a_width_where_all_are_right() -> None:
    (sure,) = judged_scores({"judge/greedy": [1.0] * 10})
    assert (sure.mean, sure.n) == (1.0, 10)
    assert sure.low == pytest.approx(0.7225, abs=1e-4)
    (mean,) = judged_scores({"judge/kl": [1.0, 2.0, 3.0]})
    assert (mean.low, mean.high) == pytest.approx((2 - 1.1316, 2 + 1.1316), abs=1e-4)
    assert judged_scores({"judge/greedy": [1.0]}) == []


def test_a_run_made_in_python_says_what_it_knows(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(token_reward="random")
    trainer.train()
    card = (Path(trainer.args.output_dir) / "model" / "README.md").read_text()
    assert "from ``" not in card
    assert "on rows given in Python (12 pairs)" in card
    assert "Token reward `random`: " in card
    assert "`settings.yaml`" in card


@pytest.mark.parametrize("lora", [False, True])
def test_the_snippet_of_a_card_runs_beside_it(
    make_trainer: MakeTrainer, model_folder: Path, lora: bool
) -> None:
    model: Any = str(model_folder)
    if lora:
        plain = AutoModelForCausalLM.from_pretrained(model_folder)
        model = with_lora(plain, {"r": 2, "alpha": 4, "target_modules": "auto"})
    trainer = make_trainer(model=model)
    trainer.train()
    folder = Path(trainer.args.output_dir)
    card = (folder / "README.md").read_text()
    assert "Model Card for Model ID" not in (folder / "model" / "README.md").read_text()
    assert (ModelCard(card).data.library_name == "peft") == lora
    snippet = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert snippet is not None
    command = [sys.executable, "-W", "error", "-c", snippet[1]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
