"""The one door for causal language models: policy, reference, induced and reward models' bases."""

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.models import adapters, checks
from tgdpo_core.models.failures import one_line_errors
from tgdpo_core.models.fingerprints import fingerprint
from tgdpo_core.models.paths import ModelSource, locate
from tgdpo_core.models.precision import Precision


@dataclass(frozen=True)
class Trust:
    """What a model folder may do beyond holding numbers; nothing by default.

    Attributes:
        remote_code: run Python code that the model brings.
        pickle: read weights that are not safetensors.
    """

    remote_code: bool = False
    pickle: bool = False


NO_TRUST = Trust()
_FOUR_BITS = "nf4"  # format of QLoRA: the 16 quantiles of a normal distribution


@dataclass(frozen=True)
class Policy:
    """The model that is trained, with what names it as it stands before training.

    Attributes:
        model: the model.
        identity: JSON that names its weights, or None: its tensors do (a model made in Python).
    """

    model: Any
    identity: Mapping[str, Any] | None = None


def load_causal_lm(
    source: ModelSource,
    *,
    precision: Precision,
    trust: Trust = NO_TRUST,
    trainable: bool = False,
) -> Any:
    """Return a whole causal language model on the CPU; an adapter is put on its base model.

    Args:
        source: see ``locate``.
        precision: dtype of the weights, and attention.
        trust: what its files may do.
        trainable: whether its weights (of an adapter: the adapter's) get gradients; without, the
            model is in eval mode.

    Raises:
        UsageError: it is not all there, is no causal language model, or cannot be read.
    """
    if source.base:
        _refuse_spread(source, precision)
        base = _load_base(source.base, precision=precision, trust=trust)
        model = adapters.put_on(base, source, allow_pickle=trust.pickle, trainable=trainable)
    else:
        model = _load_language_model(source, precision, trust)
    if trainable:
        return model
    return model.requires_grad_(False).eval()


def load_frozen(
    name_or_path: str,
    *,
    precision: Precision,
    revision: str | None = None,
    trust: Trust = NO_TRUST,
) -> Any:
    """Return a causal language model without gradients, in eval mode, on the CPU.

    Raises:
        UsageError: as ``load_causal_lm``.
    """
    return load_causal_lm(locate(name_or_path, revision), precision=precision, trust=trust)


def load_policy(
    source: ModelSource,
    *,
    precision: Precision,
    trust: Trust = NO_TRUST,
    lora: Mapping[str, Any] | None = None,
    four_bits: torch.dtype | None = None,
) -> Policy:
    """Return the model to train: all its weights, the adapter it is, or a fresh adapter.

    A fresh adapter goes on the whole model; an adapter that was there is merged into it first.

    Args:
        source: see ``locate``.
        precision: dtype of the weights, and attention.
        trust: what its files may do.
        lora: settings of a fresh adapter (``r``, ``alpha``, ``target_modules``), or None.
        four_bits: hold the matrices under a fresh adapter in 4 bits, and compute their products in
            this dtype; None: as they are.

    Raises:
        UsageError: as ``load_causal_lm``; an adapter that would be merged into weights of 4 bits.
    """
    identity = policy_identity(source, lora=lora, four_bits=four_bits is not None)
    if not lora:
        model = load_causal_lm(source, precision=precision, trust=trust, trainable=True)
        return Policy(adapters.note_base(model, source.base), identity)
    if four_bits and source.base:
        raise UsageError(
            f"model.load_in_4bit: '{source.name}' is an adapter, which cannot be merged into "
            "weights of 4 bits. Merge it first (tgdpo merge), then name the merged model."
        )
    if four_bits:
        whole = _load_language_model(source, precision, trust, **_quantised(four_bits))
        for module in whole.modules():
            # After a forward pass in eval mode a CPU's kernel for inference would stay, which has
            # no gradient: adapters below it would not be trained, without a word.
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
    else:
        whole = _load_base(source, precision=precision, trust=trust)
    return Policy(adapters.note_base(adapters.with_lora(whole, lora), source), identity)


def policy_identity(
    source: ModelSource, *, lora: Mapping[str, Any] | None = None, four_bits: bool = False
) -> dict[str, Any]:
    """Return what names the policy before training, without loading it.

    A fresh adapter is zero and changes nothing; one that was merged first was rounded with the
    weights, which is another model than the two apart.
    """
    document = fingerprint(source)
    if four_bits:
        document = {**document, "stored_in": _FOUR_BITS}
    return {**document, "merged": True} if lora and source.base else document


def load_tokenizer(
    name_or_path: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> Any:
    """Return the tokenizer beside a model, with a pad token (EOS where there is none).

    An adapter without a tokenizer of its own has its base model's.

    Raises:
        UsageError: there is none.
    """
    from transformers import AutoTokenizer

    chain = locate(name_or_path, revision).chain
    source = next((each for each in chain if checks.has_tokenizer(each)), chain[0])
    with one_line_errors(f"The tokenizer of '{name_or_path}'"):
        tokenizer = AutoTokenizer.from_pretrained(
            str(source.location), revision=source.revision, trust_remote_code=trust_remote_code
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # never read: padding is masked by position
    return tokenizer


def _load_base(source: ModelSource, *, precision: Precision, trust: Trust) -> Any:
    """Return a whole model; adapters on the way are merged into it."""
    model = load_causal_lm(source, precision=precision, trust=trust)
    return adapters.merged(model) if source.base else model


def load_whole(
    auto_class: Any,
    source: ModelSource,
    *,
    dtype: Any,
    trust: Trust = NO_TRUST,
    fit: checks.Fit | None = None,
    **kwargs: Any,
) -> Any:
    """Return a model that is no adapter, of any kind, and whole.

    Args:
        auto_class: whose ``from_pretrained`` is called, with ``kwargs``.
        source: see ``locate``.
        dtype: of the weights; ``auto``: as stored.
        trust: what its files may do.
        fit: how far the tensors may differ from those of the kind of model.
        kwargs: of ``from_pretrained``.

    Raises:
        UsageError: tensors that would be random or are not used, or files that cannot be read.
    """
    checks.require_quantiser(source)
    if source.folder:
        checks.require_readable_weights(source.folder, allow_pickle=trust.pickle)
    with _quiet_transformers(), one_line_errors(f"Model '{source.name}'"):
        loaded: Any = auto_class.from_pretrained(
            str(source.location),
            revision=source.revision,
            dtype=dtype,
            trust_remote_code=trust.remote_code,
            use_safetensors=None if trust.pickle else True,
            output_loading_info=True,
            **kwargs,
        )
    model, report = loaded
    checks.require_all_weights(report, f"Model '{source.name}'", fit or checks.Fit())
    return model


def _quantised(products: torch.dtype) -> dict[str, Any]:
    """Return what makes transformers hold matrices in 4 bits."""
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=_FOUR_BITS, bnb_4bit_compute_dtype=products
    )
    return {"quantization_config": settings}


def _load_language_model(
    source: ModelSource, precision: Precision, trust: Trust, **kwargs: Any
) -> Any:
    from transformers import AutoModelForCausalLM

    checks.require_language_model(source)
    spread: dict[str, Any] = {}
    if precision.device_map is not None:
        spread = {"device_map": precision.device_map, "offload_folder": _offload_folder()}
    return load_whole(
        AutoModelForCausalLM,
        source,
        dtype=precision.dtype,
        trust=trust,
        attn_implementation=precision.attn_implementation,
        **spread,
        **kwargs,
    )


def _refuse_spread(source: ModelSource, precision: Precision) -> None:
    if precision.device_map is not None:
        raise UsageError(
            f"engine.device_map: '{source.name}' is an adapter, which cannot be spread over "
            "devices. Merge it into its base model first (docs/models.md)."
        )


@functools.cache
def _offload_folder() -> str:
    """Return a folder for weights that have no other place; it goes with the process."""
    folder = tempfile.mkdtemp(prefix="tgdpo-offload-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def on_device(model: Any, device: Any) -> Any:
    """Return a model on a device; one that is spread over several stays where it is."""
    return model if getattr(model, "hf_device_map", None) else model.to(device)


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep back its table of missing tensors: what is wrong with them is our error's to say."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
