"""Settings of a training run."""

import datetime
import os
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from accelerate import PartialState
from transformers import TrainingArguments

from tgdpo_core.engine.losses import check_ranges
from tgdpo_core.recipe.columns import RowFormat
from tgdpo_core.recipe.optional_packages import require_packages
from tgdpo_core.recipe.row_settings import check_row_settings
from tgdpo_core.recipe.training_arguments import check_settings_have_effect
from tgdpo_core.training.optimizer_settings import check_optimizer_settings
from tgdpo_core.training.processes import require_supported, require_supported_launcher


@dataclass
class TGDPOConfig(TrainingArguments):
    """Settings of ``TGDPOTrainer``: those of ``transformers.TrainingArguments`` and a few more.

    Defaults that differ from transformers: ``learning_rate`` 1e-6, ``logging_steps`` 10,
    ``save_total_limit`` 2, ``report_to`` none, and ``bf16`` on where the device has it.
    ``output_dir`` is the run folder; checkpoints lie in its ``checkpoints/``.
    """

    learning_rate: float = field(default=1e-6, metadata={"help": "Initial learning rate."})
    logging_steps: float = field(default=10, metadata={"help": "Steps between two log rows."})
    save_total_limit: int | None = field(
        default=2, metadata={"help": "Checkpoints kept; None keeps all."}
    )
    report_to: str | list[str] | None = field(
        default="none", metadata={"help": "Trackers of transformers (wandb, tensorboard, ...)."}
    )
    bf16: bool | None = field(  # type: ignore[assignment] # None until the machine is known
        default=None,
        metadata={"help": "bfloat16 mixed precision; unset: on where a GPU supports it."},
    )
    beta: float = field(
        default=0.1, metadata={"help": "Strength of the tie to the reference (paper, eq. 20)."}
    )
    loss_type: str = field(default="sigmoid", metadata={"help": "Preference loss, as registered."})
    loss_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "Options of the loss."}
    )
    label_smoothing: float = field(
        default=0.0, metadata={"help": "Assumed share of flipped labels, in [0, 0.5)."}
    )
    sft_weight: float = field(
        default=0.0,
        metadata={"help": "Factor of an added mean negative log-likelihood of chosen tokens."},
    )
    simpo_gamma: float = field(default=0.5, metadata={"help": "Target margin of the simpo loss."})
    max_length: int = field(
        default=2048, metadata={"help": "Most tokens of prompt and response; longer ends are cut."}
    )
    max_prompt_length: int | None = field(
        default=None, metadata={"help": "Most tokens of a prompt; longer beginnings are cut."}
    )
    on_bad_row: Literal["error", "skip"] = field(
        default="error", metadata={"help": "What a row that cannot be used does."}
    )
    columns: dict[str, Any] | None = field(
        default=None,
        metadata={"help": "Field to the column that holds it; a column to None is not used."},
    )
    data_format: RowFormat = field(
        default="auto", metadata={"help": "Row format; auto: what the columns say."}
    )
    max_shares: dict[str, Any] | None = field(
        default=None,
        metadata={"help": "How much of the data may be cut or doubtful; unset: a recipe's."},
    )
    chat_template_kwargs: dict[str, Any] | None = field(
        default=None, metadata={"help": "Further variables of the chat template."}
    )
    special_tokens: Literal["auto", "text", "keep", "error"] = field(
        default="auto", metadata={"help": "What special tokens in the text of a row are."}
    )
    lost_text: Literal["error", "count"] = field(
        default="error",
        metadata={"help": "What a chat template leaves out: a bad row, or counted."},
    )
    add_eos: Literal["auto", "never"] = field(
        default="auto",
        metadata={"help": "auto: responses end unless their row says otherwise; never: none does."},
    )
    max_streamed_rows: int = field(
        default=100_000,
        metadata={"help": "Most rows read from an iterator or IterableDataset; more are refused."},
    )
    store_path: str | None = field(
        default=None,
        metadata={"help": "Folder of stored per-token values; unset: $TGDPO_STORE or the cache."},
    )
    layout: Literal["auto", "pad"] = field(
        default="auto",
        metadata={"help": "auto: rows hold every prompt once where the model allows; pad: never."},
    )
    tokens_per_row: int | None = field(
        default=None,
        metadata={"help": "Most tokens of a row; unset: 1024 on a CPU, by free memory on a GPU."},
    )
    logits_chunk_size: int | None = field(
        default=None, metadata={"help": "Tokens whose logits exist at once; unset: by memory."}
    )
    compile_layers: bool = field(
        default=False,
        metadata={"help": "Compile the policy's decoder layers (torch.compile), one by one."},
    )
    overwrite: bool = field(
        default=False, metadata={"help": "Replace the run that the output folder holds."}
    )

    def __post_init__(self) -> None:
        """Resolve what depends on the machine; refuse settings that the loss does not take.

        Raises:
            ValueError: a setting outside its range, or one that would change
                nothing (``recipe.argument_table`` has the reasons).
            UsageError: a package that a setting needs is not installed, or the launcher asks for
                what cannot be trained with.
        """
        import torch

        require_supported_launcher()
        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(TrainingArguments)}
        check_settings_have_effect(given)
        require_packages(given)
        check_row_settings(self.columns, self.data_format, self.max_shares)
        check_ranges(beta=self.beta, label_smoothing=self.label_smoothing)
        has_gpu = torch.cuda.is_available()
        if self.bf16 is None:
            self.bf16 = has_gpu and torch.cuda.is_bf16_supported()
        self.dataloader_pin_memory = self.dataloader_pin_memory and has_gpu
        self.remove_unused_columns = False  # the collator takes whole pairs, not columns
        # It would wait for the device at every micro-batch; a loss that is not finite ends the run.
        self.logging_nan_inf_filter = False
        # Newer versions of transformers have another name for it, and warn about this one.
        if getattr(self, "activation_checkpointing", False) is None:
            self.activation_checkpointing = self.gradient_checkpointing
        # Every trained parameter of a causal language model takes part in every row; looking for
        # others costs a walk through the graph in each step.
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False
        self._limit_waiting()
        super().__post_init__()
        require_supported(self)
        check_optimizer_settings(self)

    def _limit_waiting(self) -> None:
        """Start the processes' connection with ``ddp_timeout``, which transformers leaves out on
        a CPU: a process that hangs would be waited for without end."""
        import torch

        is_cpu = self.use_cpu or not torch.cuda.is_available()
        if int(os.environ.get("WORLD_SIZE") or 1) > 1 and is_cpu:
            limit = datetime.timedelta(seconds=self.ddp_timeout)
            PartialState(cpu=True, backend=self.ddp_backend, timeout=limit)
