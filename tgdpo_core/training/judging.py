"""Judgement during training: answers to held-out prompts, generated and judged at epoch ends."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.divergence import SampledKL
from tgdpo_core.evaluation.generation import Sampling, answer
from tgdpo_core.evaluation.judging import judged
from tgdpo_core.plugin_api.judges import Judge


@dataclass(frozen=True)
class Judging:
    """What is asked during training, and who judges the answers.

    Attributes:
        name: the judge's registered name.
        judge: the judge.
        pairs: whose prompts are answered; their columns go to the judge.
        sampling: how answers are drawn.
        every_epochs: epochs between two judgements; there is one before the first step, too.
        kl: also measure KL(policy || reference) on the samples; a copy of the reference then stays
            in memory.
    """

    name: str
    judge: Judge
    pairs: Sequence[PreferencePair]
    sampling: Sampling
    every_epochs: int = 1
    kl: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if not self.pairs:
            raise UsageError("judging needs evaluation prompts: give data.eval_path.")
        if self.kl and not self.sampling.samples:
            raise UsageError("judging.kl is measured on random answers: set judging.samples.")


class JudgeAnswers(TrainerCallback):
    """Logs ``judge/greedy``, ``judge/sampled`` (means over prompts) and ``judge/kl`` (nats).

    Args:
        judging: what is asked.
        tokenizer: the policy's.
        log: takes a row of metrics.
        reference: for ``judge/kl``, else None.
    """

    def __init__(
        self,
        judging: Judging,
        tokenizer: Any,
        log: Callable[[dict[str, float]], None],
        reference: Any,
    ) -> None:
        self._judging = judging
        self._tokenizer = tokenizer
        self._log = log
        self._reference = reference

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Judge the policy before its first step."""
        self._judging.judge.setup()
        if state.global_step == 0:
            self._judge(args, state, kwargs["model"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Judge, if it is time."""
        if round(state.epoch) % self._judging.every_epochs == 0:
            self._judge(args, state, kwargs["model"])

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Free the judge."""
        self._judging.judge.teardown()

    def _judge(self, args: Any, state: Any, model: Any) -> None:
        """Log the scores; every process answers its share of the prompts."""
        policy = getattr(model, "module", model)  # generate belongs to the model itself
        pairs = self._judging.pairs[args.process_index :: args.world_size]
        kl = None
        if self._reference is not None:
            eos = self._tokenizer.eos_token_id
            kl = SampledKL(policy, self._reference.to(policy.device), eos_token_id=eos)
        answers = answer(
            policy,
            self._tokenizer,
            pairs,
            self._judging.sampling,
            label=f"epoch {state.epoch or 0:.0f}: answers",
            observe=kl.add if kl else None,
        )
        greedy, sampled = judged((self._judging.name, self._judging.judge), pairs, answers)
        rows = {"judge/greedy": greedy.tolist(), "judge/kl": kl.responses() if kl else []}
        if self._judging.sampling.samples:
            rows["judge/sampled"] = sampled.tolist()
        if args.world_size > 1:
            rows = {name: gather_object(values) for name, values in rows.items()}
        self._log({name: statistics.fmean(values) for name, values in rows.items() if values})
