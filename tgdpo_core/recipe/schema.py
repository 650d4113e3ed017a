"""The schema of a recipe. Unknown keys are errors; every key has a help text."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from tgdpo_core.recipe.data_section import DataSection
from tgdpo_core.recipe.paths import check_path
from tgdpo_core.recipe.requirements import check_requirements
from tgdpo_core.recipe.rounding import check_rounding
from tgdpo_core.recipe.section import Section
from tgdpo_core.recipe.training_arguments import check_training_arguments

Positive = Annotated[float, Field(gt=0)]


class LoraSection(Section):
    """A LoRA adapter on the policy (needs the extra ``tgdpo[lora]``)."""

    r: int = Field(16, gt=0, description="rank")
    alpha: Positive = Field(32, description="scaling: the update is multiplied by alpha / r")
    target_modules: str | list[str] = Field(
        "auto", description="layers that get an adapter; auto: all linear ones but the head"
    )

    @model_validator(mode="before")
    @classmethod
    def _no_dropout(cls, values: Any) -> Any:
        names = {"dropout", "lora_dropout"} & set(values) if isinstance(values, dict) else ()
        for name in names:
            if values[name]:
                raise ValueError(f"{name}: log-ratios compare two fixed functions. Leave it out")
        return values


class ModelSection(Section):
    """The policy."""

    name_or_path: str | None = Field(
        None,
        description="Hub id, local folder, finished run folder, or a registered data set's model; "
        "unset: the model that comes with a registered data set",
    )
    revision: str | None = Field(None, description="Hub branch, tag or commit")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="of the weights; auto is float32 for trained ones, and for frozen models "
        "bfloat16 on a GPU with bf16 mixed precision",
    )
    attn_implementation: str = Field("auto", description="auto, sdpa, eager, flash_attention_2, ..")
    trust_remote_code: bool = Field(False, description="run code that a model repository brings")
    allow_pickle: bool = Field(False, description="read weights that are not safetensors")
    lora: LoraSection | None = Field(
        None, description="train a fresh adapter; one that the model has is merged first"
    )
    load_in_4bit: bool = Field(
        False,
        description="hold the frozen matrices under model.lora in 4 bits (NF4, the extra "
        "tgdpo[qlora]); the reference has them, too",
    )

    @model_validator(mode="after")
    def _only_frozen_weights_in_4_bits(self) -> "ModelSection":
        if self.load_in_4bit and not self.lora:
            raise ValueError(
                "load_in_4bit: weights of 4 bits cannot be trained; give model.lora, whose "
                "adapter is trained on them"
            )
        return self


class ReferenceSection(Section):
    """The reference model."""

    name_or_path: str | None = Field(
        None, description="null: the policy as it stands before training"
    )


class TransformEntry(BaseModel):
    """One transform: its name, and its options beside it."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="a registered transform")

    @property
    def options(self) -> dict[str, Any]:
        """The options: every other key."""
        return dict(self.model_extra or {})


class RewardEntry(Section):
    """One source of token rewards."""

    plugin: str = Field(description="a registered token reward; none is plain DPO")
    args: dict[str, Any] = Field(default_factory=dict, description="its options")
    weight: float = Field(1.0, description="factor in the sum of several sources")
    transforms: list[TransformEntry] = Field(default_factory=list, description="applied in order")


class ShapingSection(Section):
    """How token rewards become weights."""

    name: str = Field("linear", description="a registered shaping; linear is the paper's")
    args: dict[str, Any] = Field(default_factory=dict, description="its options")


class LossSection(Section):
    """The preference loss."""

    name: str = Field(
        "sigmoid", description="a registered loss; sft fine-tunes on the chosen responses"
    )
    args: dict[str, Any] = Field(default_factory=dict, description="its options")
    beta: Positive = Field(0.1, description="strength of the tie to the reference")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="assumed share of flipped labels")
    sft_weight: float = Field(0.0, ge=0, description="factor of an added NLL of chosen tokens")
    simpo_gamma: float = Field(0.5, ge=0, description="target margin of the simpo loss")


class EngineSection(Section):
    """How pairs are laid out for the model; no choice here changes a loss."""

    layout: Literal["auto", "pad"] = Field(
        "auto", description="auto: every prompt once where the model allows it; pad: never"
    )
    tokens_per_row: int | None = Field(
        None, gt=0, description="most tokens of a row; null: 1024 on a CPU, by free memory on a GPU"
    )
    logits_chunk_size: int | None = Field(
        None, gt=0, description="tokens whose logits exist at once; null: by memory"
    )
    compile_layers: bool = Field(
        False, description="compile the policy's decoder layers (torch.compile), one by one"
    )
    device_map: str | dict[str, int | str] | None = Field(
        None,
        description="how frozen models that are too large for one device are spread while they "
        "score, as accelerate has it: auto, or module to device, cpu or disk",
    )


class JudgingSection(Section):
    """A judge during training: of answers to the evaluation prompts, or of the evaluation pairs.

    What is said of answers has no effect on a judge that reads pairs.
    """

    judge: str = Field(description="a registered judge")
    args: dict[str, Any] = Field(default_factory=dict, description="its options")
    every_epochs: int = Field(1, gt=0, description="epochs between two judgements")
    num_prompts: int | None = Field(None, gt=0, description="the first N of them; null: all")
    samples: int = Field(1, ge=0, description="random answers per prompt")
    greedy: bool = Field(False, description="also the greedy answer to each prompt")
    temperature: Positive = Field(1.0, description="of the random answers")
    top_p: float = Field(
        1.0, gt=0, le=1, description="random answers take the likeliest tokens that sum up to it"
    )
    max_new_tokens: int = Field(256, gt=0, description="longest answer")
    unfinished: Literal["score", "zero", "skip"] = Field(
        "score",
        description="answers cut at max_new_tokens: scored as they are, counted as 0, or left out",
    )
    batch_size: int = Field(64, gt=0, description="answers drawn together")
    # The seed of the answers is fixed: runs are compared on the same draws.
    kl: bool = Field(
        False, description="also KL(policy || reference) on samples; keeps the reference in memory"
    )

    @model_validator(mode="after")
    def _some_answer(self) -> "JudgingSection":
        if not self.samples and not self.greedy:
            raise ValueError("samples is 0 and greedy is false: no answer would be drawn")
        return self


class Recipe(Section):
    """Everything that decides a run."""

    requires: list[str] = Field(
        default_factory=list,
        description="distributions of plugins with versions, such as acme-prm>=1; a resolved "
        "recipe names those that it uses",
    )
    model: ModelSection = Field(default_factory=ModelSection)
    reference: ReferenceSection = Field(default_factory=ReferenceSection)
    data: DataSection
    reward: list[RewardEntry] = Field(
        default_factory=lambda: [RewardEntry(plugin="none")], min_length=1
    )
    shaping: ShapingSection = Field(default_factory=ShapingSection)
    loss: LossSection = Field(default_factory=LossSection)
    engine: EngineSection = Field(default_factory=EngineSection)
    judging: JudgingSection | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    output_dir: str = Field(description="the run folder")

    @model_validator(mode="after")
    def _usable_paths(self) -> "Recipe":
        named = {
            "output_dir": self.output_dir,
            "data.path": self.data.path,
            "data.eval_path": self.data.eval_path,
            "model.name_or_path": self.model.name_or_path,
            "reference.name_or_path": self.reference.name_or_path,
        }
        for key, path in named.items():
            if path is not None:
                check_path(key, path)
        return self

    @field_validator("requires")
    @classmethod
    def _are_requirements(cls, values: list[str]) -> list[str]:
        check_requirements(values)
        return values

    @model_validator(mode="after")
    def _rounding_has_effect(self) -> "Recipe":
        check_rounding(self.training, dtype=self.model.dtype, lora=self.model.lora is not None)
        return self

    @field_validator("training")
    @classmethod
    def _known_training_arguments(cls, values: dict[str, Any]) -> dict[str, Any]:
        return check_training_arguments(values)
