"""The paper's recipes hold the official values, and run on small models of the same families."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from click.testing import CliRunner

from tgdpo_cli.main import cli
from tgdpo_cli.shipped_recipes import shipped_recipes
from tgdpo_core.recipe import Recipe, load_recipe, resolve_recipe

# The name that every supported transformers has; newer ones have another and warn.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`gradient_checkpointing` is deprecated:FutureWarning:transformers"
)

Tgdpo = Callable[..., str]
ModelOf = Callable[..., str]


class Pair(NamedTuple):
    """What two recipes share: Hub names, and the family.

    The official README gives the ids of the data sets, and of the models their names only.
    """

    model: str
    data: str
    family: str


# dvlab-research/TGDPO at dd88982: README.md, then examples/llama3_8b_instruct_tgdpo.yaml.
PAIRS = {
    "llama3-8b": Pair(
        "meta-llama/Meta-Llama-3-8B-Instruct", "mk1111/llama3-8b-instruct-ultrafeedback", "llama3"
    ),
    "llama32-3b": Pair(
        "meta-llama/Llama-3.2-3B-Instruct",
        "mk1111/llama3.2-3b-instruct-ultrafeedback-armorm",
        "llama3.2",
    ),
    "gemma2-2b": Pair("google/gemma-2-2b-it", "mk1111/gemma2-2b-it-ultrafeedback-armorm", "gemma2"),
}
OFFICIAL = {
    "model.lora": None,  # finetuning_type: full
    "model.dtype": "auto",  # float32 weights
    "data.max_length": 2048,  # cutoff_len
    "data.max_prompt_length": 1800,
    "loss.name": "sigmoid",  # pref_loss
    "loss.beta": 0.1,  # pref_beta
    "training.learning_rate": 7e-7,
    "training.lr_scheduler_type": "cosine",
    "training.warmup_steps": 0.1,  # warmup_ratio
    "training.num_train_epochs": 1,
    "training.bf16": True,
    "training.gradient_checkpointing": True,  # LLaMA-Factory's default
    "training.logging_steps": 1,
    "training.save_steps": 60,
}
OFFICIAL_ALPHA = 0.5  # tgdpo_alpha
OFFICIAL_PAIRS_PER_STEP = 1 * 16 * 8  # a device, accumulated, devices

PAPER = [f"{pair}-{step}" for pair in PAIRS for step in ("dpo", "tgdpo")]


def recipes_of_a_run() -> list[str]:
    """Return the names of the shipped recipes that are one run (the others plan several)."""
    contents = {
        name: yaml.safe_load(f.read_text(encoding="utf-8")) for name, f in shipped_recipes().items()
    }
    return sorted(name for name, c in contents.items() if not {"recipe", "variants"} & c.keys())


def resolved(name: str) -> Recipe:
    """Return a shipped recipe as `--config NAME` reads it."""
    return resolve_recipe(load_recipe(str(shipped_recipes()[name])), source=name)


def value_of(recipe: Recipe, dotted: str) -> Any:
    """Return the value of ``section.key``."""
    section, key = dotted.split(".")
    return recipe.model_dump()[section][key]


# -- what the files say ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipes_of_a_run())
def test_a_shipped_recipe_has_known_keys_only(name: str) -> None:
    assert resolved(name).output_dir


def test_the_recipes_of_the_paper_are_those_that_say_so() -> None:
    first_lines = {n: f.read_text(encoding="utf-8")[:80] for n, f in shipped_recipes().items()}
    assert {n for n, text in first_lines.items() if text.startswith("# Paper,")} == set(PAPER)


@pytest.mark.parametrize("name", PAPER)
def test_the_values_are_the_official_ones(name: str) -> None:
    recipe = resolved(name)
    assert {key: value_of(recipe, key) for key in OFFICIAL} == OFFICIAL
    training = recipe.training
    pairs = training["per_device_train_batch_size"] * training["gradient_accumulation_steps"]
    assert pairs == OFFICIAL_PAIRS_PER_STEP
    model, data, _ = PAIRS[name.rpartition("-")[0]]
    assert (recipe.model.name_or_path, recipe.data.path) == (model, data)


@pytest.mark.parametrize("pair", PAIRS)
def test_tgdpo_reads_the_run_of_dpo_and_differs_in_nothing_else(pair: str) -> None:
    dpo, tgdpo = resolved(f"{pair}-dpo"), resolved(f"{pair}-tgdpo")
    assert [entry.plugin for entry in dpo.reward] == ["none"]
    (entry,) = tgdpo.reward
    assert (entry.plugin, entry.args, entry.weight) == ("induced", {"model": dpo.output_dir}, 1.0)
    assert entry.transforms == []
    assert tgdpo.shaping.model_dump() == {"name": "linear", "args": {"alpha": OFFICIAL_ALPHA}}
    own = {"reward", "shaping", "output_dir"}
    assert dpo.model_dump(exclude=own) == tgdpo.model_dump(exclude=own)


@pytest.mark.checkout
def test_the_page_names_every_recipe_and_every_official_value() -> None:
    page = (Path(__file__).parents[2] / "docs" / "paper-settings.md").read_text(encoding="utf-8")
    for name in [*PAPER, *OFFICIAL, *(pair.data for pair in PAIRS.values())]:
        assert f"`{name}" in page, name


# -- small models of the families -----------------------------------------------------------------

LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LLAMA_WORDS = r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"


def llama_tokenizer(texts: Sequence[str]) -> Any:
    """Return byte-level BPE behind a regular expression, with Llama 3's marks and layout."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    marks = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    words = pre_tokenizers.Split(Regex(LLAMA_WORDS), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=marks[0], eos_token=marks[1]
    )
    fast.chat_template = LLAMA_TEMPLATE
    return fast


def gemma_tokenizer(texts: Sequence[str]) -> Any:
    """Return BPE over characters with a mark for spaces, with Gemma's marks and layout."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    marks = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=marks, show_progress=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    tokenizer.train_from_iterator([*texts, "user\nmodel\n"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>"
    )
    fast.chat_template = GEMMA_TEMPLATE
    return fast


def tiny_model(family: str, tokenizer: Any, seed: int) -> Any:
    """Return a random model: grouped heads, and what is peculiar to the family."""
    from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "initializer_range": 0.2,
    }
    torch.manual_seed(seed)
    if family == "gemma2":
        # Caps and a window that act on weights and prompts of this size.
        caps: dict[str, Any] = {"attn_logit_softcapping": 0.5, "final_logit_softcapping": 2.0}
        config = Gemma2Config(**shape, **caps, query_pre_attn_scalar=8, sliding_window=16)
        return Gemma2ForCausalLM(config)
    if family == "llama3.2":
        shape["tie_word_embeddings"] = True
        shape["rope_parameters"] = {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 512,
        }
    return LlamaForCausalLM(LlamaConfig(**shape))


@pytest.fixture(scope="module")
def rows(gsm8k_rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Twelve short real pairs in the columns of the official data."""
    by_length = sorted(gsm8k_rows, key=lambda row: len(row["prompt"] + row["chosen"]))
    return [
        {"instruction": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"]}
        for row in by_length[:12]
    ]


@pytest.fixture(scope="module")
def dataset(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pairs as one JSON array."""
    path = tmp_path_factory.mktemp("data") / "pairs.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def model_of(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> ModelOf:
    """A function from a family and a seed to the folder of a small model with its tokenizer."""
    texts = [text for row in rows for text in row.values()]
    root = tmp_path_factory.mktemp("models")

    def folder(family: str, seed: int = 0) -> str:
        path = root / f"{family}-{seed}"
        if not path.exists():
            tokenizer = (gemma_tokenizer if family == "gemma2" else llama_tokenizer)(texts)
            tiny_model(family, tokenizer, seed).save_pretrained(path)
            tokenizer.save_pretrained(path)
        return str(path)

    return folder


@pytest.fixture
def tgdpo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tgdpo:
    """A function that runs the command line in a folder of its own and returns stdout."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def of_training(**settings: Any) -> list[str]:
    """Return `--set training.key=value` for each setting."""
    return [p for key, value in settings.items() for p in ("--set", f"training.{key}={value}")]


# -- the recipes on them --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAPER)
def test_a_dry_run_works_on_a_small_model_of_the_family(
    name: str, tgdpo: Tgdpo, model_of: ModelOf, dataset: str
) -> None:
    family = PAIRS[name.rpartition("-")[0]].family
    arguments = ["--config", name, "--model", model_of(family), "--dataset", dataset]
    is_tgdpo = name.endswith("-tgdpo")
    if is_tgdpo:
        arguments += ["--reward-arg", f"model={model_of(family, 1)}"]
    printed = tgdpo("train", *arguments, *of_training(use_cpu=True), "--dry-run", "--json")
    report = json.loads(printed)
    assert report["layout"] == "chat_template"
    assert (report["data"]["pairs"], report["data"]["left_out"]) == (12, 0)
    assert report["pairs_per_step"] == OFFICIAL_PAIRS_PER_STEP
    assert report["rehearsal"]["layout"] == "share"
    assert (report["diagnostics"]["chosen"]["std"] > 0) == is_tgdpo


def test_two_steps_of_dpo_induce_the_reward_of_two_steps_of_tgdpo(
    tgdpo: Tgdpo, model_of: ModelOf, rows: list[dict[str, str]], dataset: str
) -> None:
    model = model_of("gemma2")
    # The rate moves a model in two steps; full precision is compared with plain forwards.
    settings = of_training(max_steps=2, learning_rate=3e-3, bf16=False, use_cpu=True)
    for step in ("dpo", "tgdpo"):
        tgdpo("train", "--config", f"gemma2-2b-{step}", "--model", model, "--dataset", dataset,
              *settings)  # fmt: skip
    run = Path("runs/gemma2-2b-tgdpo")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["status"] == "done"
    found = facts["diagnostics"]
    (reward,) = found["rewards"]
    moved = response_logps("runs/gemma2-2b-dpo/model", rows) - response_logps(model, rows)
    expected = 0.1 * moved  # the recipe's beta
    assert reward["num_tokens"] == len(expected)
    assert reward["mean"] * len(expected) == pytest.approx(expected.sum().item(), abs=1e-3)
    assert reward["std"] == pytest.approx(expected.std(correction=0).item(), rel=1e-3)
    assert found["chosen"]["mean"] == pytest.approx(1 + OFFICIAL_ALPHA * reward["mean_chosen"])
    assert found["rejected"]["mean"] == pytest.approx(1 - OFFICIAL_ALPHA * reward["mean_rejected"])


@torch.no_grad()
def response_logps(folder: str, rows: list[dict[str, str]]) -> torch.Tensor:
    """Return the log-probs of all response tokens by one plain forward for each response."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    parts = []
    for row in rows:
        messages = [{"role": "user", "content": row["instruction"]}]
        start = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        num_prompt = len(tokenizer(start, add_special_tokens=False)["input_ids"])
        for side in ("chosen", "rejected"):
            answer = {"role": "assistant", "content": row[side]}
            text = tokenizer.apply_chat_template([*messages, answer], tokenize=False)
            ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
            logps = model(ids).logits[0, num_prompt - 1 : -1].log_softmax(-1)
            parts.append(logps.gather(1, ids[0, num_prompt:, None])[:, 0])
    return torch.cat(parts)
