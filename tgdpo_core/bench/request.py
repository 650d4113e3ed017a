"""What is benched: rewards, rows, the models they are scored with, and how it is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tgdpo_core.bench.measures import STEP_VALUES, StepValue
from tgdpo_core.errors import UsageError
from tgdpo_core.marks.reading import MarkedSource

Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class RewardEntry:
    """A token reward under the name that tables give it.

    Attributes:
        label: its name in this bench, each once.
        plugin: the registered name.
        args: its options.
        transforms: ``{"name": ..., option: value}``, in order.
    """

    label: str
    plugin: str
    args: Mapping[str, Any]
    transforms: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class BenchRequest:
    """Everything that decides the numbers of a bench.

    Attributes:
        rewards: at least one.
        source: the marked rows.
        model: the policy, whose tokens are used; None: that of a registered data set.
        reference: the reference model; None: the policy.
        dtype: of frozen models.
        max_length: tokens of prompt and response; the end of a longer response is cut.
        beta: for rewards that are proportional to it.
        controls: names of transforms that are put behind every reward; None: see ``controls_for``.
        step_value: how the tokens of a step become its value.
        num_folds: of the problems, for thresholds and calibration.
        num_resamples: of the bootstrap.
        seed: of folds and resamples.
    """

    rewards: Sequence[RewardEntry]
    source: MarkedSource
    model: str | None = None
    reference: str | None = None
    dtype: Dtype = "float32"
    max_length: int = 2048
    beta: float = 0.1
    controls: Sequence[str] | None = None
    step_value: StepValue = "mean"
    num_folds: int = 5
    num_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            UsageError: a name twice, or a setting outside its range.
        """
        labels = [entry.label for entry in self.rewards]
        for label in labels:
            if label in ("random", "position") or labels.count(label) > 1:
                raise UsageError(
                    f"Reward '{label}' stands twice in the table. Name one of them LABEL="
                    f"{label.partition('=')[0]} (random and position are always there)."
                )
        if not labels:
            raise UsageError("Name at least one token reward: see tgdpo plugins list.")
        if self.step_value not in STEP_VALUES:
            raise UsageError(f"step_value must be one of {', '.join(STEP_VALUES)}.")
        if self.num_folds < 2:
            raise UsageError(f"At least 2 folds are needed, got {self.num_folds}.")
