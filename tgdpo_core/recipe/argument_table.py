"""What becomes of every field of ``transformers.TrainingArguments``: used, or refused and why.

A test compares the table with the installed transformers: a new field must be decided here.
"""

from typing import Any, NamedTuple


class Refused(NamedTuple):
    """A setting that would change nothing, or something else than it says.

    Attributes:
        harmless: values that ask for nothing (the defaults).
        reason: why, and what to set instead.
    """

    harmless: tuple[Any, ...]
    reason: str


class Bounds(NamedTuple):
    """The numbers that make sense; ``low`` and ``high`` are allowed unless ``above``, ``below``."""

    low: float
    high: float | None = None
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a number lies within."""
        is_low = value <= self.low if self.above else value < self.low
        is_high = self.high is not None and (
            value >= self.high if self.below else value > self.high
        )
        return not (is_low or is_high)

    def __str__(self) -> str:
        """How messages say it."""
        text = f"{'above' if self.above else 'at least'} {self.low:g}"
        if self.high is not None:
            text += f" and {'below' if self.below else 'at most'} {self.high:g}"
        return text


SET_ELSEWHERE = {
    "output_dir": "the recipe's output_dir",
    "remove_unused_columns": "nothing (always off)",
    "logging_nan_inf_filter": "nothing (always off: a loss that is not finite ends the run)",
    "resume_from_checkpoint": "tgdpo train --resume",
}

SECRET = ("hub_token", "push_to_hub_token")

NO_DEEPSPEED = (
    "its engine updates the weights within the backward pass, before all processes agree that loss "
    "and gradient are finite, and saves by pickle; use FSDP2 in its place (tgdpo recipes copy "
    "accelerate/fsdp2 FILE)"
)

_NO_METRICS = "evaluation keeps no predictions, its metrics are made of pairs"

REFUSED: dict[str, Refused] = {
    "average_tokens_across_devices": Refused(
        (True,), "the pairs of a step are always counted over all processes"
    ),
    "label_smoothing_factor": Refused(
        (0, 0.0), "the preference loss has no labels per token; set loss.label_smoothing"
    ),
    "label_names": Refused((None,), "there are no labels: a pair says itself which side is chosen"),
    "train_sampling_strategy": Refused(
        ("random", "sequential"),
        "rows are packed to a token budget (engine.tokens_per_row), so nothing is gained by "
        "lengths; use random or sequential",
    ),
    "length_column_name": Refused(("length",), "nothing is grouped by length"),
    "include_for_metrics": Refused(([], None), _NO_METRICS),
    "batch_eval_metrics": Refused((False,), _NO_METRICS),
    "prediction_loss_only": Refused((False,), _NO_METRICS),
    "eval_do_concat_batches": Refused((True,), _NO_METRICS),
    "eval_use_gather_object": Refused((False,), _NO_METRICS),
    "eval_accumulation_steps": Refused((None,), _NO_METRICS),
    "bf16_full_eval": Refused(
        (False,), "evaluation has the number formats of training; set training.bf16"
    ),
    "fp16_full_eval": Refused(
        (False,), "evaluation has the number formats of training; set training.fp16"
    ),
    "include_num_input_tokens_seen": Refused(
        (False, "no"), "it would count 0; tokens_per_second and pairs_per_second are logged"
    ),
    "torch_empty_cache_steps": Refused(
        (None,), "the training step does not look at it; lower engine.tokens_per_row to save memory"
    ),
    "torch_compile": Refused(
        (False,),
        "compiled as a whole, a model is compiled anew for most rows; set engine.compile_layers",
    ),
    "torch_compile_backend": Refused((None,), "set engine.compile_layers"),
    "torch_compile_mode": Refused((None,), "set engine.compile_layers"),
    "use_cache": Refused((False,), "training reads every token once; there is nothing to cache"),
    "hub_strategy": Refused(
        ("end", "every_save"), "a run is pushed once, when it is done: model/ and its card"
    ),
    "hub_always_push": Refused((False,), "a run is pushed once, when it is done"),
    "enable_jit_checkpoint": Refused(
        (False,), "its checkpoint is written beside the run's record; use training.save_steps"
    ),
    "parallelism_config": Refused(
        (None,), "tensor, context and sequence parallelism would split responses"
    ),
    "deepspeed": Refused((None,), NO_DEEPSPEED),
    "resume_from_checkpoint": Refused(
        (None,), "call train(resume_from_checkpoint=...), or tgdpo train --resume"
    ),
    "trackio_static_space_id": Refused(
        (None, False), "no Space is frozen after a run; use trackio's own sync"
    ),
    "do_predict": Refused((False,), "tgdpo predicts nothing; see tgdpo evaluate"),
}

_USED = """
    per_device_train_batch_size num_train_epochs max_steps learning_rate lr_scheduler_type
    lr_scheduler_kwargs warmup_steps optim optim_args weight_decay adam_beta1 adam_beta2
    adam_epsilon optim_target_modules gradient_accumulation_steps max_grad_norm bf16 fp16 tf32
    activation_checkpointing activation_checkpointing_kwargs gradient_checkpointing
    gradient_checkpointing_kwargs use_liger_kernel liger_kernel_config neftune_noise_alpha
    auto_find_batch_size logging_strategy logging_steps logging_first_step log_on_each_node
    log_level log_level_replica disable_tqdm report_to run_name project trackio_space_id
    trackio_bucket_id eval_strategy eval_steps eval_delay
    per_device_eval_batch_size
    eval_on_start save_only_model save_strategy save_steps save_on_each_node save_total_limit
    push_to_hub hub_private_repo hub_model_id hub_revision load_best_model_at_end
    metric_for_best_model greater_is_better ignore_data_skip
    restore_callback_states_from_checkpoint full_determinism seed data_seed use_cpu
    accelerator_config dataloader_drop_last dataloader_num_workers dataloader_pin_memory
    dataloader_persistent_workers dataloader_prefetch_factor dataloader_multiprocessing_context
    dataloader_in_order ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers
    ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config debug skip_memory_metrics
    do_train do_eval local_rank
"""
USED = frozenset(_USED.split())

BOUNDS = {
    "per_device_train_batch_size": Bounds(1),
    "per_device_eval_batch_size": Bounds(1),
    "gradient_accumulation_steps": Bounds(1),
    "num_train_epochs": Bounds(0, above=True),
    "learning_rate": Bounds(0),
    "weight_decay": Bounds(0),
    "adam_beta1": Bounds(0, 1, below=True),
    "adam_beta2": Bounds(0, 1, below=True),
    "adam_epsilon": Bounds(0),
    "max_grad_norm": Bounds(0),
    "warmup_steps": Bounds(0),
    "neftune_noise_alpha": Bounds(0, above=True),
    "logging_steps": Bounds(0, above=True),
    "save_steps": Bounds(0, above=True),
    "eval_steps": Bounds(0, above=True),
    "eval_delay": Bounds(0),
    "save_total_limit": Bounds(1),
    "seed": Bounds(0, 2**32, below=True),
    "data_seed": Bounds(0, 2**32, below=True),
    "dataloader_num_workers": Bounds(0),
    "dataloader_prefetch_factor": Bounds(1),
    "ddp_timeout": Bounds(0, above=True),
    "ddp_bucket_cap_mb": Bounds(0, above=True),
}
"""What a number must be; ``max_steps`` is -1 (by epochs) or at least 1."""

ENUMS = {
    "optim": ("training_args", "OptimizerNames"),
    "lr_scheduler_type": ("trainer_utils", "SchedulerType"),
    "eval_strategy": ("trainer_utils", "IntervalStrategy"),
    "logging_strategy": ("trainer_utils", "IntervalStrategy"),
    "save_strategy": ("trainer_utils", "SaveStrategy"),
    "hub_strategy": ("trainer_utils", "HubStrategy"),
}
"""The module and class of transformers that hold the allowed names."""

_OWN_BACKWARD = "it updates weights in a backward pass of its own, which is not called here"
REFUSED_OPTIMIZERS = {"lomo": _OWN_BACKWARD, "adalomo": _OWN_BACKWARD}
