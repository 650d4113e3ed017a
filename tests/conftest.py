"""What many tests share: small models, tokenizers trained on real text, an own store."""

import gc
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The real preference pairs lie beside the checkout; tests that need them say so and are skipped.
SHARED = Path(os.environ.get("TGDPO_SHARED", Path(__file__).parents[2] / "shared")) / "data"

GSM8K = SHARED / "gsm8k_pairs.jsonl"
HH = SHARED / "hh_harmless.jsonl"
SHAREGPT = SHARED / "dpo_en_sharegpt.json"

# Modules with tests or fixtures of more than ten seconds: begun last, one of them would keep a
# processor busy when the others have nothing left to do. Those of Ray stand together, so that one
# process runs them and starts one cluster.
_LONG = (
    "cli/test_shipped_ablations.py",
    "core/experiments/test_ablation.py",
    "core/preparation/test_work_is_shared.py",
    "core/training/test_sharded_processes.py",
    "core/engine/test_compiled_layers.py",
    "docs/test_notebooks.py",
    "benchmarks/test_benchmarks.py",
    "cli/test_smol_recipes.py",
    "cli/test_processes.py",
)


@pytest.fixture
def in_the_foreground() -> Iterator[None]:
    """Ctrl-C arrives, as it does not in what a shell has put into the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long modules first; everything else stays in its order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path, len(_LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep what is imported out of the collections of garbage.

    Half a million objects stay to the end of the session; every training, which collects when it
    is done, would look through them all for a third of its time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's store, and none reaches a network."""
    monkeypatch.setenv("TGDPO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True, scope="session")
def _a_store_for_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a module or a session makes for its tests does not meet the user's store either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TGDPO_STORE", str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> Iterator[None]:
    """Tests run side by side: one thread each."""
    import torch

    torch.set_num_threads(1)
    return


def require_shared(path: Path) -> Path:
    """Return a file of the shared data; skip the test where it is absent."""
    if not path.exists():
        pytest.skip(f"the shared data file {path.name} is not beside this checkout")
    return path


@pytest.fixture(scope="session")
def gsm8k_rows() -> list[dict[str, Any]]:
    """The gsm8k pairs as rows."""
    path = require_shared(GSM8K)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def train_bpe(texts: list[str], *, vocab_size: int = 600) -> Any:
    """Return a byte-level BPE tokenizer (GPT-2 style) with BOS, EOS and PAD, trained on texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def tiny_llama(vocab_size: int, **overrides: Any) -> Any:
    """Return a small random Llama in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(overrides.pop("seed", 0))
    settings = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        **overrides,
    }
    return LlamaForCausalLM(LlamaConfig(**settings))


SENTENCES = [
    "The cat sat on the mat and looked at the dog.",
    "Two plus two is four, and four plus four is eight.",
    "She sells sea shells by the sea shore; naïve café 🎉.",
    "Yes, I can help you with that. No, I can not do that.",
]


@pytest.fixture(scope="session")
def small_tokenizer() -> Any:
    """A byte-level BPE trained on a few sentences."""
    return train_bpe(SENTENCES * 4, vocab_size=330)


@pytest.fixture(scope="session")
def small_rows() -> list[dict[str, Any]]:
    """Twelve text pairs of different lengths."""
    return [
        {
            "prompt": f"Question {i}: what is {i} plus {i % 5}?\n",
            "chosen": f"It is {i + i % 5}." + " Two plus two is four." * (i % 4),
            "rejected": f"It is {i + i % 5 + 1}, and the cat sat on the mat" + "." * (i % 3 + 1),
        }
        for i in range(12)
    ]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, small_tokenizer: Any) -> Path:
    """A folder with a small random Llama and its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    tiny_llama(len(small_tokenizer)).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory, small_rows: list[dict[str, Any]]) -> Path:
    """The twelve pairs as a JSONL file."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in small_rows), encoding="utf-8")
    return path
