"""Every head on a tiny checkpoint of its kind, against plain forwards; real pairs, other tokens."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from tgdpo_core import Example
from tgdpo_core.data.alignment import project
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.retokenization import retokenize
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.scoring.context import FrozenModels, Precision
from tgdpo_plugins.token_rewards.dense_prm import DensePRM
from tgdpo_plugins.token_rewards.dense_prm.layouts import read_steps
from tgdpo_plugins.token_rewards.dense_prm.presets import PRESETS

STEP_PRESETS = [name for name, preset in PRESETS.items() if preset.layout != "tokens"]
Make = Callable[..., Path]


def prm_tokenizer() -> Any:
    """Return a tokenizer of characters with the tags as tokens: unlike any policy's BPE."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = [chr(c) for c in range(32, 127)] + ["\n", "\u2019", "ки", "\n\n\n\n\n"]
    ids = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    pieces = Regex("ки|\n{5}|[\\s\\S]")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pieces, "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=["<extra_0>"],
        chat_template="{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}",
    )


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return prm_tokenizer()


@pytest.fixture(scope="module")
def examples(gsm8k_rows: list[dict[str, Any]], small_tokenizer: Any) -> list[Example]:
    """Both responses of three real pairs, in the policy's tokens."""
    report = DataReport("gsm8k")
    rows = [(f"gsm8k:{i}", row) for i, row in enumerate(gsm8k_rows[:3])]
    limits = LengthLimits(4096)
    pairs = tokenize_pairs(parse_rows(rows, report), small_tokenizer, limits, report)
    return [pair.example(side) for pair in pairs for side in ("chosen", "rejected")]


def folder_of(preset: str, tokenizer: Any, checkpoint: Make, remote: Make, **config: Any) -> Path:
    head = PRESETS[preset].head
    if head == "remote-labels":
        return remote(tokenizer)
    labels = {"sequence": {"num_labels": 1}, "labels": {"num_labels": 2}}
    return checkpoint(head, tokenizer, **{**labels.get(head, {}), **config})


def scored(prm: DensePRM, examples: Sequence[Example], policy_tokenizer: Any) -> list[np.ndarray]:
    """Return token values of examples, spans projected."""
    context = FrozenModels(policy_tokenizer, device=torch.device("cpu"), precision=Precision())
    prm.setup(context)
    results = prm.score(examples)
    prm.teardown()
    return [
        np.asarray(project(r, e.offsets, len(e.response)) if hasattr(r, "items") else r)
        for r, e in zip(results, examples, strict=True)
    ]


@torch.no_grad()
def plain_logits(preset: str, folder: Path, ids: list[int], tokenizer: Any) -> np.ndarray:
    """Return z at every position by a forward of this one input, each head written out."""
    head, one = PRESETS[preset].head, torch.tensor([ids])
    if head == "labels":
        model = AutoModelForTokenClassification.from_pretrained(folder).eval()
        logits = model(one).logits[0]
        z = logits[:, 1] - logits[:, 0]
    elif head == "sequence":
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        # a forward pools the last token: one forward per prefix
        z = torch.stack([model(one[:, : t + 1]).logits[0, 0] for t in range(len(ids))])
    elif head == "pair":
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        p = model(one).logits[0][:, tokenizer.convert_tokens_to_ids(["+", "-"])].softmax(-1)
        z = (p[:, 0] / p[:, 1]).log()
    elif head == "value-head":
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        hidden = model(one, output_hidden_states=True).hidden_states[-1][0]
        tensors = load_file(folder / "model.safetensors")
        z = hidden @ tensors["v_head.summary.weight"][0] + tensors["v_head.summary.bias"]
    else:
        from transformers import AutoModel

        model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
        p = model(one)[0][0].softmax(-1)
        z = (p[:, 1] / p[:, 0]).log()
    return z.double().numpy()


@pytest.mark.parametrize("preset", STEP_PRESETS)
def test_step_values_land_on_the_tokens_of_their_lines(
    preset: str,
    examples: list[Example],
    tokenizer: Any,
    small_tokenizer: Any,
    checkpoint: Make,
    remote_checkpoint: Make,
) -> None:
    folder = folder_of(preset, tokenizer, checkpoint, remote_checkpoint)
    trust = PRESETS[preset].head == "remote-labels"
    prm = DensePRM(model=str(folder), preset=preset, step_separator="\n", trust_remote_code=trust)
    for example, found in zip(examples, scored(prm, examples, small_tokenizer), strict=True):
        lines = example.response.rstrip("\n").split("\n")
        reading = read_steps(example, [x.strip() for x in lines], tokenizer, PRESETS[preset])
        z = plain_logits(preset, folder, list(reading.ids), tokenizer)[list(reading.positions)]
        bound = np.log(0.999 / 0.001)
        of_line = z.clip(-bound, bound)
        assert len(set(of_line.round(6))) > 1
        # The line of a token is the number of line breaks in front of its last character.
        ends = np.maximum.accumulate([end for _, end in example.offsets])
        line = [min(example.response[: max(e - 1, 0)].count("\n"), len(lines) - 1) for e in ends]
        assert found == pytest.approx(of_line[line], abs=1e-4)


@pytest.mark.parametrize("preset", ["token-head", "sequence-reward"])
@pytest.mark.parametrize("placement", ["broadcast", "delta"])
def test_token_values_land_on_the_characters_of_their_tokens(
    preset: str,
    placement: str,
    examples: list[Example],
    tokenizer: Any,
    small_tokenizer: Any,
    checkpoint: Make,
    remote_checkpoint: Make,
) -> None:
    folder = folder_of(preset, tokenizer, checkpoint, remote_checkpoint)
    prm = DensePRM(model=str(folder), preset=preset, placement=placement)  # type: ignore[arg-type]
    chosen = examples[:1]
    (found,) = scored(prm, chosen, small_tokenizer)
    (read,) = retokenize(chosen, tokenizer)
    z = plain_logits(preset, folder, [*read.prompt_ids, *read.response_ids], tokenizer)
    bound = np.log(0.999 / 0.001) if preset == "token-head" else np.inf
    v = z.clip(-bound, bound)[len(read.prompt_ids) - 1 :]
    if placement == "delta":
        assert found.sum() == pytest.approx(v[-1] - v[0], abs=1e-4)
        return
    # The reward model reads characters: a token of the policy gets the mean over its characters.
    per_character = v[1:-1]
    wide = [(i, a, b) for i, (a, b) in enumerate(chosen[0].offsets) if b - a > 1]
    assert len(wide) > 10
    for i, start, end in wide:
        assert found[i] == pytest.approx(per_character[start:end].mean(), abs=1e-4)


def test_batches_change_no_value(
    examples: list[Example], tokenizer: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = checkpoint("labels", tokenizer, num_labels=2)
    made = [
        DensePRM(model=str(folder), preset="token-classification", batch_size=size)
        for size in (1, 6)
    ]
    alone, together = (scored(prm, examples, small_tokenizer) for prm in made)
    for a, b in zip(alone, together, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_the_good_label_may_be_named(
    examples: list[Example], tokenizer: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = checkpoint("labels", tokenizer, id2label={0: "ok", 1: "error"})
    by_name, by_default = (
        scored(
            DensePRM(model=str(folder), preset="token-head", **kwargs), examples, small_tokenizer
        )
        for kwargs in ({"good_label": "ok"}, {})
    )
    assert by_name[0] == pytest.approx(-by_default[0], abs=1e-6)
    unknown = DensePRM(model=str(folder), preset="token-head", good_label="fine")
    with pytest.raises(ValueError, match="no label 'fine'; its labels are ok, error"):
        scored(unknown, examples, small_tokenizer)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "head", "message"),
    [
        ("token-classification", "pair", r"lacks score\.weight .* would be random"),
        ("sequence-reward", "pair", r"lacks score\.weight"),
        ("rlhflow", "labels", r"lacks lm_head\.weight"),
        ("skywork", "pair", r"no v_head\.summary\.weight"),
        ("math-shepherd", "value-head", r"holds v_head\.summary"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(
    preset: str,
    head: str,
    message: str,
    examples: list[Example],
    tokenizer: Any,
    small_tokenizer: Any,
    checkpoint: Make,
) -> None:
    folder = checkpoint(head, tokenizer, **({"num_labels": 2} if head == "labels" else {}))
    with pytest.raises(ValueError, match=message):
        scored(DensePRM(model=str(folder), preset=preset), examples, small_tokenizer)


def test_code_of_a_model_runs_only_if_asked_for(
    examples: list[Example], tokenizer: Any, small_tokenizer: Any, remote_checkpoint: Make
) -> None:
    prm = DensePRM(model=str(remote_checkpoint(tokenizer)), preset="qwen-prm")
    with pytest.raises(ValueError, match="trust_remote_code=true if you trust it"):
        scored(prm, examples, small_tokenizer)


def test_a_value_has_no_probability(
    examples: list[Example], tokenizer: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = checkpoint("sequence", tokenizer, num_labels=1)
    prm = DensePRM(model=str(folder), preset="sequence-reward", output="prob")
    with pytest.raises(ValueError, match="gives a value without a probability"):
        scored(prm, examples, small_tokenizer)


def test_an_input_beyond_the_models_positions_is_refused(
    examples: list[Example], tokenizer: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = checkpoint("labels", tokenizer, num_labels=2)
    config = folder / "config.json"
    config.write_text(config.read_text().replace("2048", "100"))
    prm = DensePRM(model=str(folder), preset="token-classification")
    with pytest.raises(ValueError, match=r"an input of \d+ tokens; model .* has 100 positions"):
        scored(prm, examples, small_tokenizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "prm"}, "is not one of: token-classification, qwen-prm"),
        ({"preset": "token-head", "placement": "last"}, "reads every token"),
        ({"preset": "token-head", "step_separator": "x"}, "knows no steps"),
        ({"preset": "openr", "clip": "0.5"}, "clip must be between 0 and 0.5"),
        ({"preset": "openr", "batch_size": "0"}, "batch_size must be at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    options: dict[str, str], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        PluginManager().find("token-reward", "dense-prm").create({"model": "m", **options})
