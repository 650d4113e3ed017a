"""Answers and pairs judged during training: rows at epoch ends, no influence on what is trained."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tgdpo_core import Generation, Judge, PairLikelihood, TGDPOConfig, TGDPOTrainer
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError, PluginError, RecipeError, UsageError
from tgdpo_core.generation.in_process import InProcess
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import make_plan
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.training import run
from tgdpo_core.training.judging import Judging

ROWS = [
    {"prompt": f"{i} plus {i}? ", "chosen": f"It is {2 * i}.", "rejected": f"It is {2 * i + 1}!"}
    for i in range(8)
]


@pytest.fixture
def recipe(tmp_path: Path, model_folder: Path) -> dict[str, Any]:
    """Two epochs on eight rows, without judging."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return {
        "model": {"name_or_path": str(model_folder)},
        "data": {
            "path": str(data),
            "eval_path": str(data),
            # The rows are judged on what they are trained on, and their prompts end with a space.
            "max_shares": {"eval_overlap": 1, "boundary_inside_prompt": 1},
        },
        "training": {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-3,
            "use_cpu": True,
            "save_strategy": "no",
            "disable_tqdm": True,
        },
        "output_dir": str(tmp_path / "run"),
    }


PLUGIN = '''
from tgdpo_core import Judge, hookimpl, option

class Long(Judge):
    """Score the length of an answer."""

    broken: bool = option(False, help="raise")

    def score(self, batch):
        """Return a length per answer."""
        if self.broken:
            raise RuntimeError("no idea")
        return [float(len(item.response)) for item in batch]

class Margin(Judge):
    """log pi(chosen) - log pi(rejected), nats."""

    reads = "pairs"
    broken: bool = option(False, help="fail in setup")

    def setup(self):
        """Load nothing."""
        if self.broken:
            raise OSError("no file")

    def score_pairs(self, batch):
        """Return a margin per pair."""
        return [sum(pair.chosen_logps) - sum(pair.rejected_logps) for pair in batch]

@hookimpl
def register_judges(register):
    """Register them."""
    register("long", Long)
    register("margin", Margin)
'''


@pytest.fixture
def plugins(tmp_path: Path) -> PluginManager:
    """The installed plugins, a judge of answers and one of pairs."""
    file = tmp_path / "long.py"
    file.write_text(PLUGIN)
    return PluginManager(files=[str(file)])


def train(recipe: dict[str, Any], plugins: PluginManager, name: str, **judging: Any) -> Path:
    """Train and return the run folder."""
    folder = Path(recipe["output_dir"]).with_name(name)
    content = {**recipe, "output_dir": str(folder)}
    if judging:
        content["judging"] = {"judge": "long", "max_new_tokens": 6, **judging}
    return run.train(make_plan(resolve_recipe(content, source="test"), plugins)).path


def log(folder: Path) -> list[dict[str, Any]]:
    """Return the log rows."""
    lines = (folder / "logs" / "train.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_answers_are_judged_before_training_and_at_epoch_ends(
    recipe: dict[str, Any], plugins: PluginManager
) -> None:
    rows = [
        row
        for row in log(train(recipe, plugins, "judged", samples=2, greedy=True, kl=True))
        if "judge/greedy" in row
    ]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[0]["judge/kl"] == 0
    assert rows[-1]["judge/kl"] > 0
    assert all(row["judge/sampled"] > 0 for row in rows)
    # The tiny model is random: it ends hardly any answer within 6 tokens.
    assert all(0 <= row["judge/finished"] < 1 and 1 <= row["judge/tokens"] <= 6 for row in rows)


def test_unfinished_answers_may_count_as_zero(
    recipe: dict[str, Any], plugins: PluginManager
) -> None:
    folder = train(recipe, plugins, "judged", max_new_tokens=1, unfinished="zero")
    row = next(row for row in log(folder) if "judge/sampled" in row)
    assert (row["judge/sampled"], row["judge/finished"]) == (0, 0)


def test_the_greedy_answer_is_drawn_only_if_asked_for(
    recipe: dict[str, Any], plugins: PluginManager
) -> None:
    rows = log(train(recipe, plugins, "judged", samples=1))
    assert any("judge/sampled" in row for row in rows)
    assert not any("judge/greedy" in row for row in rows)


def test_the_untrained_policy_answers_once_for_all_runs(
    recipe: dict[str, Any], plugins: PluginManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    draw = InProcess.draw

    def counting(self: Any, requests: Any, sampling: Any) -> Any:
        drawn.append(len(requests))
        return draw(self, requests, sampling)

    monkeypatch.setattr(InProcess, "draw", counting)
    asked = {"samples": 2, "kl": True, "num_prompts": 3}
    logs = []
    for name in ("first", "second"):
        drawn.append(0)
        logs.append([r for r in log(train(recipe, plugins, name, **asked)) if "judge/kl" in r])
    # Before the first step and after each of two epochs; then after the epochs alone.
    assert drawn == [0, 6, 6, 6, 0, 6, 6]
    assert logs[0] == logs[1]


BF16 = {"training": {"bf16": True}}
IN_BF16 = {"model": {"dtype": "bfloat16"}}
LORA = {"model": {"lora": {"r": 2}}}


@pytest.mark.parametrize("changes", [{}, BF16, IN_BF16, LORA, {**LORA, **BF16}])
def test_an_untrained_policy_has_no_kl_in_any_precision(
    changes: dict[str, dict[str, Any]], recipe: dict[str, Any], plugins: PluginManager
) -> None:
    for section, values in changes.items():
        recipe[section] |= values
    folder = train(recipe, plugins, "judged", max_new_tokens=24, samples=2, kl=True)
    kl = [row["judge/kl"] for row in log(folder) if "judge/kl" in row]
    assert kl[0] == 0
    assert kl[-1] > 0


def test_a_reference_that_is_scored_in_bfloat16_is_compared_in_the_policys_format(
    tmp_path: Path, model_folder: Path
) -> None:
    args = TGDPOConfig(
        output_dir=str(tmp_path / "run"),
        use_cpu=True,
        bf16=True,
        max_steps=1,
        save_strategy="no",
        report_to=[],
        max_shares={"boundary_inside_prompt": 1},
    )
    pairs = [PreferencePair(row["prompt"], row["chosen"], row["rejected"], "") for row in ROWS]
    trainer = TGDPOTrainer(
        str(model_folder),
        str(model_folder),
        args,
        train_dataset=ROWS,
        # As on a GPU, where frozen weights are bfloat16 and the policy's are float32.
        precision=Precision(torch.bfloat16, torch.bfloat16),
        judging=Judging("nothing", Nothing(), pairs, Sampling(max_new_tokens=16), kl=True),
    )
    trainer.train()
    kl = [row["judge/kl"] for row in log(tmp_path / "run") if "judge/kl" in row]
    assert kl[0] == 0 < kl[-1]


def test_epochs_between_judgements_are_kept(recipe: dict[str, Any], plugins: PluginManager) -> None:
    folder = train(recipe, plugins, "judged", every_epochs=2, samples=0, greedy=True, num_prompts=3)
    rows = [row for row in log(folder) if "judge/greedy" in row]
    assert [row["epoch"] for row in rows] == [0, 2]
    assert all("judge/sampled" not in row and "judge/kl" not in row for row in rows)


@pytest.mark.parametrize("judging", [{"samples": 1, "kl": True}, {"judge": "margin"}])
def test_judging_changes_no_weight(
    judging: dict[str, Any], recipe: dict[str, Any], plugins: PluginManager
) -> None:
    weights = [
        load_file(train(recipe, plugins, name, **judging) / "model" / "model.safetensors")
        for name, judging in (("plain", {}), ("judged", judging))
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_judge_that_fails_is_named(recipe: dict[str, Any], plugins: PluginManager) -> None:
    with pytest.raises(
        PluginError, match="judge 'long' failed on 8 answers: RuntimeError: no idea"
    ):
        train(recipe, plugins, "judged", args={"broken": True})


class Nothing(Judge):
    """A judge for settings that are refused before it is asked."""

    def score(self, batch: Sequence[Generation]) -> list[float]:
        """Return zeros."""
        return [0.0 for _ in batch]


def test_judging_without_prompts_is_refused() -> None:
    with pytest.raises(UsageError, match=r"give data\.eval_path"):
        Judging("nothing", Nothing(), [], Sampling())


# -- pairs ----------------------------------------------------------------------------------------


@torch.no_grad()
def margin(folder: Path, rows: Sequence[dict[str, str]]) -> float:
    """Return the mean of log pi(chosen) - log pi(rejected), a forward for each response."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    margins = []
    for row in rows:
        num_prompt = len(tokenizer(row["prompt"])["input_ids"])
        sums = []
        for side in ("chosen", "rejected"):
            text = row["prompt"] + row[side]
            ids = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
            logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            sums.append(float(logps.gather(1, ids[0, 1:, None])[num_prompt - 1 :].sum()))
        margins.append(sums[0] - sums[1])
    return sum(margins) / len(margins)


def test_pairs_are_judged_before_training_and_at_epoch_ends(
    recipe: dict[str, Any], plugins: PluginManager, model_folder: Path, tmp_path: Path
) -> None:
    # No token spans the end of these prompts, so that they may be tokenized alone.
    rows = [{**row, "prompt": f"{row['prompt'].strip()}\n"} for row in ROWS]
    data = tmp_path / "lines.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe["data"]["eval_path"] = str(data)
    folder = train(recipe, plugins, "judged", judge="margin", num_prompts=5)
    logged = [row for row in log(folder) if "judge/pairs" in row]
    assert [row["epoch"] for row in logged] == [0, 1, 2]
    assert all("judge/greedy" not in row and "judge/sampled" not in row for row in logged)
    assert logged[0]["judge/pairs"] == pytest.approx(margin(model_folder, rows[:5]), abs=1e-3)
    assert logged[-1]["judge/pairs"] == pytest.approx(margin(folder / "model", rows[:5]), abs=1e-3)
    assert logged[-1]["judge/pairs"] > logged[0]["judge/pairs"] + 0.1


def test_pairs_are_cut_and_left_out_as_in_training(
    recipe: dict[str, Any], plugins: PluginManager, tmp_path: Path
) -> None:
    twins = [{"prompt": "Say it. ", "chosen": "Yes." * 50 + "!", "rejected": "Yes." * 50 + "?"}]
    data = tmp_path / "twins.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in [*twins, *ROWS[:2]]))
    recipe["data"] |= {"eval_path": str(data), "max_length": 40, "on_bad_row": "skip"}
    recipe["data"]["max_shares"]["truncated"] = 1
    folder = train(recipe, plugins, "judged", judge="margin", num_prompts=2)
    assert any("judge/pairs" in row for row in log(folder))  # of the second row alone
    with pytest.raises(DataError, match="the pairs of judging: no usable pair in 1 rows"):
        train(recipe, plugins, "none-left", judge="margin", num_prompts=1)


def test_a_judge_that_cannot_be_set_up_is_named(
    recipe: dict[str, Any], plugins: PluginManager
) -> None:
    with pytest.raises(PluginError, match="judge 'margin' failed on setup: OSError: no file"):
        train(recipe, plugins, "judged", judge="margin", args={"broken": True})


class Even(Judge):
    """Finds all pairs even."""

    reads = "pairs"

    def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
        """Return halves."""
        return [0.5 for _ in batch]


def test_the_kl_of_answers_is_refused_where_nothing_is_generated() -> None:
    pair = PreferencePair("Say it. ", "Yes.", "No.", where="row 1")
    with pytest.raises(UsageError, match=r"judge 'even' reads pairs.*Leave judging\.kl out"):
        Judging("even", Even(), [pair], Sampling(), kl=True)


# -- prompts of its own, and judgement by steps ---------------------------------------------------


def test_prompts_of_its_own_are_judged_without_evaluation_pairs(
    recipe: dict[str, Any], plugins: PluginManager, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Say {i}"}) + "\n" for i in range(5)))
    del recipe["data"]["eval_path"]
    settings = {"prompts": str(prompts), "num_prompts": 3, "samples": 2, "kl": True}
    rows = [r for r in log(train(recipe, plugins, "judged", **settings)) if "judge/sampled" in r]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[0]["judge/kl"] == 0


def test_steps_between_judgements_take_the_place_of_epochs(
    recipe: dict[str, Any], plugins: PluginManager
) -> None:
    recipe["training"]["per_device_train_batch_size"] = 2  # four steps an epoch
    rows = log(train(recipe, plugins, "judged", every_steps=3, num_prompts=2))
    judged = [row for row in rows if "judge/sampled" in row]
    assert [row["step"] for row in judged] == [0, 3, 6, 8]  # the last step, too
    assert [row["epoch"] for row in judged] == [0, 0.75, 1.5, 2]


def test_a_judge_without_anything_to_judge_is_refused(
    recipe: dict[str, Any], plugins: PluginManager
) -> None:
    del recipe["data"]["eval_path"]
    with pytest.raises(RecipeError, match=r"give data\.eval_path, or judging\.prompts"):
        train(recipe, plugins, "judged", samples=1)


def test_a_judge_of_pairs_has_no_use_for_prompts(
    recipe: dict[str, Any], plugins: PluginManager
) -> None:
    with pytest.raises(RecipeError, match=r"reads the pairs of data\.eval_path"):
        train(recipe, plugins, "judged", judge="margin", prompts="prompts.jsonl")
