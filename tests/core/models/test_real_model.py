"""SmolLM2-135M-Instruct: step-1 loss and log-probs of a real chat model (slow; make test-real)."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.conftest import SHAREGPT, require_shared
from tgdpo_core import TGDPOConfig, TGDPOTrainer

NUM_ROWS = 4
MAX_LENGTH = 1024

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def smollm2() -> Path:
    """The folder of the real model; the tests are skipped where it is absent."""
    named = os.environ.get("TGDPO_SMOLLM2")
    if not named:
        pytest.skip("TGDPO_SMOLLM2 names no folder of SmolLM2-135M-Instruct (make test-real)")
    if not (Path(named) / "config.json").is_file():
        pytest.skip(f"TGDPO_SMOLLM2={named} holds no model")
    return Path(named)


@pytest.fixture(scope="module")
def trainer(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> TGDPOTrainer:
    """A trainer on chat rows of the ShareGPT pairs, in float32, plain DPO."""
    rows = json.loads(require_shared(SHAREGPT).read_text(encoding="utf-8"))[:NUM_ROWS]
    args = TGDPOConfig(
        output_dir=str(tmp_path_factory.mktemp("real") / "run"),
        use_cpu=True,
        disable_tqdm=True,
        max_steps=1,
        logging_steps=1,
        per_device_train_batch_size=2,
        save_strategy="no",
        max_length=MAX_LENGTH,
        bf16=False,
    )
    return TGDPOTrainer(str(smollm2), args=args, train_dataset=rows)


def plain_logps(model: Any, prompt: list[int], response: list[int]) -> torch.Tensor:
    """Return [len(response)] log-probs by transformers and log_softmax alone."""
    ids = torch.tensor([prompt + response])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None]).squeeze(1)


def test_log_probs_are_those_of_plain_transformers(trainer: TGDPOTrainer, smollm2: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).eval()
    for i in range(len(trainer.train_dataset)):
        scored = trainer.train_dataset[i]
        pair = scored.pair
        sides = (pair.chosen.ids, pair.rejected.ids)
        expected = [plain_logps(model, list(pair.prompt_ids), list(ids)) for ids in sides]
        torch.testing.assert_close(
            scored.reference_logps, torch.cat(expected), rtol=0, atol=1e-4, msg=pair.pair.where
        )


def test_rows_are_laid_out_by_the_models_chat_template(
    trainer: TGDPOTrainer, smollm2: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    text = tokenizer.decode(trainer.train_dataset[0].pair.prompt_ids)
    assert text.startswith("<|im_start|>system\n")
    assert text.endswith("<|im_start|>assistant\n")


def test_the_first_loss_is_ln_2(trainer: TGDPOTrainer) -> None:
    trainer.train()
    first = next(row["loss"] for row in trainer.state.log_history if "loss" in row)
    assert first == pytest.approx(math.log(2), abs=1e-4)
