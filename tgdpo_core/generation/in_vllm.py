"""The engine ``vllm``: a model in vLLM, which batches by itself."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import UsageError
from tgdpo_core.generation.engine import Drawn, Engine, Request
from tgdpo_core.generation.engine_options import read_options
from tgdpo_core.generation.in_process import drawn_of, prompt_ids, require_room
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.generation.stopping import configured_stop_ids
from tgdpo_core.models.fingerprints import fingerprint, tokenizer_fingerprint
from tgdpo_core.models.loading import Trust, load_tokenizer
from tgdpo_core.models.paths import ModelSource, locate
from tgdpo_core.models.precision import Precision


@dataclass(frozen=True)
class VllmOptions:
    """Options of the engine.

    Attributes:
        tensor_parallel_size: GPUs that a model is spread over.
        gpu_memory_utilization: share of a GPU's memory that vLLM takes.
        max_model_len: most tokens of prompt and answer; 0: the positions of the model.
        together: answers that are asked for at once, and stored together.
    """

    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    max_model_len: int = 0
    together: int = 2048


def open_vllm(
    model: str, args: Mapping[str, str], *, precision: Precision, trust: Trust
) -> "InVllm":
    """Return the engine with its model loaded.

    Raises:
        UsageError: vLLM is not installed, an unknown option, a model that cannot be read, or number
            formats that vLLM does not have.
    """
    if importlib.util.find_spec("vllm") is None:
        raise UsageError("vllm is not installed: pip install 'tgdpo[vllm]'")
    options = read_options(VllmOptions, args, "vllm")
    if precision.autocast is not None:
        raise UsageError("vLLM has no mixed precision: choose a dtype of the weights (--dtype).")
    source = locate(model)
    if source.base and source.base.base:
        raise UsageError(
            f"'{model}' is an adapter on an adapter, which vLLM cannot load: tgdpo merge writes "
            "them as one model."
        )
    tokenizer = load_tokenizer(model, trust_remote_code=trust.remote_code)
    return InVllm(source, tokenizer, options, precision=precision, trust=trust)


class InVllm(Engine):
    """Answers of a model in vLLM.

    Args:
        source: the model; an adapter is put on its base model.
        tokenizer: its tokenizer.
        options: of vLLM.
        precision: dtype of the weights.
        trust: what its files may do.
    """

    name = "vllm"

    def __init__(
        self,
        source: ModelSource,
        tokenizer: Any,
        options: VllmOptions,
        *,
        precision: Precision,
        trust: Trust,
    ) -> None:
        import vllm

        self.together = options.together
        self._tokenizer = tokenizer
        self._precision = precision
        self._version = vllm.__version__
        self._source = source
        whole = source.root
        lora = {"enable_lora": True, "max_lora_rank": _rank(source)} if source.base else {}
        self._model = vllm.LLM(
            model=str(whole.location),
            revision=whole.revision,
            dtype=str(precision.dtype).removeprefix("torch."),
            trust_remote_code=trust.remote_code,
            tensor_parallel_size=options.tensor_parallel_size,
            gpu_memory_utilization=options.gpu_memory_utilization,
            max_model_len=options.max_model_len or None,
            enable_prefix_caching=True,  # answers to one prompt share its forward pass
            generation_config="vllm",  # what the model's own says of sampling is not used
            **lora,
        )
        config = self._model.llm_engine.model_config
        self._limit = int(config.max_model_len)
        self.stops = configured_stop_ids(
            [config.hf_config, config.hf_text_config, _generation_config(whole)], tokenizer
        )

    def document(self) -> Mapping[str, Any]:
        """Return the model's weights, its tokenizer, its stops, the dtype and vLLM's version."""
        return {
            "engine": self.name,
            "version": self._version,
            "model": fingerprint(self._source),
            "tokenizer": tokenizer_fingerprint(self._tokenizer),
            "stops": list(self.stops),
            "precision": self._precision.document(),
        }

    def lay_out(self, prompts: Sequence[PreferencePair], sampling: Sampling) -> list[Any]:
        """Return the token ids of prompts, as in training.

        Raises:
            DataError: one cannot be laid out, or leaves no room for the longest answer.
        """
        ids = prompt_ids(prompts, self._tokenizer, sampling)
        require_room(prompts, ids, sampling, self._limit)
        return ids

    def length(self, prompt: Any) -> int:
        """Return how many tokens a prompt has."""
        return len(prompt)

    def draw(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Drawn]]:
        """Yield the answers once all of them are there."""
        outputs = self._model.generate(
            [{"prompt_token_ids": list(request.prompt)} for request in requests],
            [self._parameters(request, sampling) for request in requests],
            use_tqdm=False,
            lora_request=self._adapter(),
        )
        for number, (request, output) in enumerate(zip(requests, outputs, strict=True)):
            answer = output.outputs[0]
            yield (
                number,
                drawn_of(
                    list(answer.token_ids),
                    finished=answer.finish_reason == "stop",
                    seed=request.seed,
                    tokenizer=self._tokenizer,
                ),
            )

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        import vllm

        is_greedy = request.seed is None
        return vllm.SamplingParams(
            n=1,
            temperature=0.0 if is_greedy else sampling.temperature,
            top_p=1.0 if is_greedy else sampling.top_p,
            seed=request.seed,
            max_tokens=sampling.max_new_tokens,
            stop_token_ids=list(self.stops),
            detokenize=False,
        )

    def _adapter(self) -> Any:
        if self._source.base is None:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest("adapter", 1, str(self._source.location))


def _rank(source: ModelSource) -> int:
    """Return the rank of an adapter, as vLLM is to make room for it."""
    ranks = [(source.adapter or {}).get("r", 8)]
    ranks += (source.adapter or {}).get("rank_pattern", {}).values()
    return max(8, *map(int, ranks))


def _generation_config(source: ModelSource) -> Any:
    """Return what generation_config.json says, or None without one."""
    from transformers import GenerationConfig

    try:
        revision = source.revision or "main"
        return GenerationConfig.from_pretrained(str(source.location), revision=revision)
    except OSError:
        return None
