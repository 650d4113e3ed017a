"""Every head on a tiny checkpoint of its kind, against plain forwards; real pairs, other tokens."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
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
from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_plugins.token_rewards.dense_prm import DensePRM
from tgdpo_plugins.token_rewards.dense_prm.layouts import read_steps
from tgdpo_plugins.token_rewards.dense_prm.presets import PRESETS

STEP_PRESETS = [name for name, preset in PRESETS.items() if preset.layout != "tokens"]
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def examples(gsm8k_rows: list[dict[str, Any]], small_tokenizer: Any) -> list[Example]:
    """Both responses of three real pairs, in the policy's tokens."""
    return examples_of(gsm8k_rows[:3], small_tokenizer)


def examples_of(
    rows: Sequence[dict[str, Any]], tokenizer: Any, *, max_length: int = 4096
) -> list[Example]:
    report = DataReport("gsm8k")
    named = [(f"gsm8k:{i}", row) for i, row in enumerate(rows)]
    limits = LengthLimits(max_length)
    pairs = tokenize_pairs(parse_rows(named, report), tokenizer, limits, report)
    return [pair.example(side) for pair in pairs for side in ("chosen", "rejected")]


def context_of(policy_tokenizer: Any) -> FrozenModels:
    return FrozenModels(policy_tokenizer, device=torch.device("cpu"), precision=Precision())


def folder_of(preset: str, characters: Any, checkpoint: Make, **config: Any) -> Path:
    head = PRESETS[preset].head
    labels = {"sequence": {"num_labels": 1}, "labels": {"num_labels": 2}}
    return checkpoint(head, characters, **{**labels.get(head, {}), **config})


def scored(prm: DensePRM, examples: Sequence[Example], policy_tokenizer: Any) -> list[np.ndarray]:
    """Return token values of examples, spans projected."""
    prm.setup(context_of(policy_tokenizer))
    results = prm.score(examples)
    prm.teardown()
    return [
        np.asarray(project(r, e.offsets, len(e.response)) if hasattr(r, "items") else r)
        for r, e in zip(results, examples, strict=True)
    ]


@torch.no_grad()
def plain_logits(preset: str, folder: Path, ids: list[int], tokenizer: Any) -> np.ndarray:
    """Return z at every position by a forward of this one input, each head written out."""
    of, one = PRESETS[preset], torch.tensor([ids])
    if of.head == "labels":
        model = AutoModelForTokenClassification.from_pretrained(folder).eval()
        logits = model(one).logits[0]
        z = logits[:, 1] - logits[:, 0]
    elif of.head == "sequence":
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        # a forward pools the last token: one forward per prefix
        z = torch.stack([model(one[:, : t + 1]).logits[0, 0] for t in range(len(ids))])
    elif of.head == "pair":
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        pair = [tokenizer(x, add_special_tokens=False)["input_ids"][0] for x in (of.good, of.bad)]
        p = model(one).logits[0][:, pair].softmax(-1)
        z = (p[:, 0] / p[:, 1]).log()
    elif of.head == "value-head":
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        hidden = model(one, output_hidden_states=True).hidden_states[-1][0]
        tensors = load_file(folder / "model.safetensors")
        z = hidden @ tensors["v_head.summary.weight"][0] + tensors["v_head.summary.bias"]
    else:
        # AutoModel is the body alone; what is behind it is written out
        model = AutoModel.from_pretrained(folder).eval()
        tensors = load_file(folder / "model.safetensors")
        hidden = model(one).last_hidden_state[0]
        inner = (hidden @ tensors["score.0.weight"].T + tensors["score.0.bias"]).clamp(min=0)
        p = (inner @ tensors["score.2.weight"].T + tensors["score.2.bias"]).softmax(-1)
        z = (p[:, 1] / p[:, 0]).log()
    return z.double().numpy()


@pytest.mark.parametrize("preset", STEP_PRESETS)
def test_step_values_land_on_the_tokens_of_their_lines(
    preset: str,
    examples: list[Example],
    characters: Any,
    qwen_tokenizer: Any,
    small_tokenizer: Any,
    checkpoint: Make,
) -> None:
    own = qwen_tokenizer if preset in ("qwen-prm", "openr") else characters
    folder = folder_of(preset, own, checkpoint)
    prm = DensePRM(model=str(folder), preset=preset, step_separator="\n")
    for example, found in zip(examples, scored(prm, examples, small_tokenizer), strict=True):
        lines = example.response.rstrip("\n").split("\n")
        reading = read_steps(example, [x.strip() for x in lines], own, PRESETS[preset])
        z = plain_logits(preset, folder, list(reading.ids), own)[list(reading.positions)]
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
    characters: Any,
    small_tokenizer: Any,
    checkpoint: Make,
) -> None:
    folder = folder_of(preset, characters, checkpoint)
    prm = DensePRM(model=str(folder), preset=preset, placement=placement)  # type: ignore[arg-type]
    chosen = examples[:1]
    (found,) = scored(prm, chosen, small_tokenizer)
    (read,) = retokenize(chosen, characters)
    z = plain_logits(preset, folder, [*read.prompt_ids, *read.response_ids], characters)
    bound = np.log(0.999 / 0.001) if preset == "token-head" else np.inf
    v = z.clip(-bound, bound)[len(read.prompt_ids) - 1 :]
    if placement == "delta":
        assert found.sum() == pytest.approx(v[-1] - v[0], abs=1e-4)
        return
    # A token of the policy gets the mean over its characters.
    per_character = np.repeat(v[1:], [end - start for start, end in read.offsets])
    wide = [(i, a, b) for i, (a, b) in enumerate(chosen[0].offsets) if b - a > 1]
    assert len(wide) > 10
    for i, start, end in wide:
        assert found[i] == pytest.approx(per_character[start:end].mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("preset", "head"), [("token-head", "labels"), ("sequence-reward", "sequence")]
)
def test_every_token_is_read_and_the_last_one_of_the_prompt(
    preset: str,
    head: str,
    example: Example,
    words: Any,
    small_tokenizer: Any,
    checkpoint: Make,
) -> None:
    folder = checkpoint(head, words, num_labels=2 if head == "labels" else 1)
    prm = DensePRM(model=str(folder), preset=preset)
    prm.setup(context_of(small_tokenizer))
    seen = []

    def read(ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        seen.append((ids.tolist(), positions.tolist()))
        return torch.tensor([[10.0, 11, 13, 16, 20, 25]])

    prm._model = dataclasses.replace(prm._model, read=read)
    (spans,) = prm.score([dataclasses.replace(example, prompt="Q a ")])
    # Q a | b c "\n" d </s>
    assert seen == [([[13, 14, 15, 16, 4, 17, 2]], [1, 2, 3, 4, 5, 6])]
    values = [1, 2, 3, 4, 5] if preset == "sequence-reward" else [np.log(999)] * 5
    places = [(0, 1), (1, 3), (3, 4), (4, 5), (5, 5)]
    assert [item[:2] for item in spans.items] == places
    assert [item[2] for item in spans.items] == pytest.approx(values)


def test_closing_marks_of_the_policys_template_belong_to_the_last_step(
    gsm8k_rows: list[dict[str, Any]], characters: Any, qwen_tokenizer: Any, checkpoint: Make
) -> None:
    row = gsm8k_rows[0]
    chat = {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        **{side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")},
    }
    policy = copy.deepcopy(qwen_tokenizer)
    (chosen, _), (cut, _) = examples_of([chat], policy), examples_of([chat], policy, max_length=400)
    assert chosen.response.endswith("A: 18<|im_end|>\n")
    prm = DensePRM(
        model=str(checkpoint("labels", characters, num_labels=2)), preset="token-classification"
    )
    found, of_cut = scored(prm, [chosen, cut], policy)
    lines = row["chosen"].split("\n")
    ends = [end for _, end in chosen.offsets]
    begin_of_last = chosen.response.index(lines[-1])
    last = [v for v, end in zip(found, ends, strict=True) if end > begin_of_last]
    assert len(set(last)) == 1
    assert len(set(found)) == len(lines)
    # the same steps, read in whole: what is left of the response has the same values
    assert len(of_cut) < len(found)
    assert of_cut == pytest.approx(found[: len(of_cut)], abs=1e-5)


def test_the_precision_of_the_model_may_be_chosen(
    examples: list[Example], characters: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = checkpoint("labels", characters, num_labels=2)
    full, half = (
        scored(
            DensePRM(model=str(folder), preset="token-classification", output="value", dtype=dtype),
            examples[:1],
            small_tokenizer,
        )[0]
        for dtype in ("auto", "bfloat16")
    )
    assert half != pytest.approx(full, abs=1e-6)
    assert half == pytest.approx(full, abs=0.3)


def test_the_store_knows_the_weights_the_tokenizer_and_the_format(
    words: Any, checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint("labels", words, num_labels=2)
    prm = DensePRM(model=str(folder), preset="token-classification")
    before = prm.fingerprint()
    assert {"model.safetensors", "tokenizer.json"} <= set(before["model"]["files"])
    changed = dataclasses.replace(PRESETS["token-classification"], tag="\n\n")
    monkeypatch.setitem(PRESETS, "token-classification", changed)
    assert prm.fingerprint() != before
    assert "model" not in prm.options(stored_only=True)


@pytest.mark.parametrize("preset", ["skywork", "rlhflow", "sequence-reward"])
def test_batches_change_no_value(
    preset: str, examples: list[Example], characters: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = folder_of(preset, characters, checkpoint)
    made = [DensePRM(model=str(folder), preset=preset, batch_size=size) for size in (1, 4)]
    alone, together = (scored(prm, examples, small_tokenizer) for prm in made)
    for a, b in zip(alone, together, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_the_good_label_may_be_named(
    examples: list[Example], characters: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = checkpoint("labels", characters, id2label={0: "ok", 1: "error"})
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
        ("skywork", "pair", r"lacks score\.bias"),
        ("math-shepherd", "value-head", r"holds v_head\.summary"),
        ("token-classification", "two-layer-labels", r"lacks score\.weight"),
        ("qwen-prm", "labels", r"lacks score\.0\.bias"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(
    preset: str,
    head: str,
    message: str,
    examples: list[Example],
    characters: Any,
    small_tokenizer: Any,
    checkpoint: Make,
) -> None:
    folder = checkpoint(head, characters, **({"num_labels": 2} if head == "labels" else {}))
    with pytest.raises(UsageError, match=message):
        scored(DensePRM(model=str(folder), preset=preset), examples, small_tokenizer)


def test_a_value_has_no_probability(
    examples: list[Example], characters: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = checkpoint("sequence", characters, num_labels=1)
    prm = DensePRM(model=str(folder), preset="sequence-reward", output="prob")
    with pytest.raises(ValueError, match="gives a value without a probability"):
        scored(prm, examples, small_tokenizer)


def test_an_input_beyond_the_models_positions_is_refused(
    examples: list[Example], characters: Any, small_tokenizer: Any, checkpoint: Make
) -> None:
    folder = checkpoint("labels", characters, num_labels=2)
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
        ({"preset": "openr", "step_separator": "\\n"}, "ends no step"),
        ({"preset": "openr", "clip": "0.5"}, "clip must be between 0 and 0.5"),
        ({"preset": "openr", "batch_size": "0"}, "batch_size must be at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    options: dict[str, str], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        PluginManager().find("token-reward", "dense-prm").create({"model": "m", **options})
