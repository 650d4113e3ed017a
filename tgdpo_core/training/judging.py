"""Judgement during training: answers to held-out prompts, or held-out pairs, now and then."""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback

from tgdpo_core.data.pairs import PreferencePair, TokenizedPair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.divergence import sampled_kl, samples_of
from tgdpo_core.evaluation.endings import Unfinished, random_or_all
from tgdpo_core.evaluation.judging import asked_anew, judged, judged_pairs
from tgdpo_core.evaluation.likelihood import pair_likelihoods
from tgdpo_core.generation.door import Answers, answer_all, generate
from tgdpo_core.generation.in_process import InProcess
from tgdpo_core.generation.prefill import is_sharded
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.training.durability.agreement import gathered
from tgdpo_core.training.durability.signals import stop_signals

UNJUDGED = "judge/unjudged"


@dataclass(frozen=True)
class Judging:
    """What is judged during training, and by whom.

    Attributes:
        name: the judge's registered name.
        judge: the judge; it reads answers or pairs.
        pairs: whose prompts are answered, or whose likelihoods are read; their columns go to the
            judge.
        sampling: how answers are drawn.
        batch_size: answers drawn together.
        unfinished: what an answer scores that was cut at the most tokens.
        every_epochs: epochs between two judgements; there is one before the first step, too.
        every_steps: steps between two judgements, in place of epochs, and one after the last step.
        kl: also measure KL(policy || reference) on the samples; a copy of the reference then stays
            in memory.
    """

    name: str
    judge: Judge
    pairs: Sequence[PreferencePair]
    sampling: Sampling
    batch_size: int = 64
    unfinished: Unfinished = "score"
    every_epochs: int = 1
    every_steps: int | None = None
    kl: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if not self.pairs:
            raise UsageError("judging needs evaluation prompts: give data.eval_path.")
        if self.judge.reads == "comparisons":
            raise UsageError(
                f"judging: judge '{self.name}' compares the answers of two models, and in training "
                "there is one. Judge answers or pairs here, and compare finished runs with tgdpo "
                "evaluate."
            )
        if self.kl and not self.sampling.samples:
            raise UsageError("judging.kl is measured on random answers: set judging.samples.")
        if self.kl and self.judge.reads == "pairs":
            raise UsageError(
                f"judging.kl is measured on random answers, and judge '{self.name}' reads pairs: "
                "nothing is generated. Leave judging.kl out."
            )


class JudgePolicy(TrainerCallback):
    """Logs what a judge says of the policy before the first step, and at epoch ends or steps.

    Of answers: ``judge/greedy``, ``judge/sampled`` (means over prompts), ``judge/finished`` (share
    that the policy ended itself), ``judge/tokens`` (mean length) and ``judge/kl`` (nats); of pairs:
    ``judge/pairs`` (mean over pairs). ``judge/unjudged`` counts the answers that the judge had no
    score for, where there were any; they count in no mean.

    Args:
        judging: what is asked.
        tokenizer: the policy's.
        log: takes a row of metrics.
        reference: for ``judge/kl``, else None.
        store: where answers of the policy before its first step are kept, and looked for: those of
            the runs of an ablation are the same.
    """

    def __init__(
        self,
        judging: Judging,
        tokenizer: Any,
        log: Callable[[dict[str, float]], None],
        reference: Any,
        store: Path,
    ) -> None:
        self._store = store
        self._judging = judging
        self._tokenizer = tokenizer
        self._log = log
        self._reference = reference
        self._who = f"judge '{judging.name}'"
        self._pairs: Sequence[TokenizedPair] = ()
        self._is_begun = False  # whether the policy has made a step
        self.last: dict[str, list[float]] = {}  # the newest scores, by metric

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Judge the policy before its first step."""
        if self._judging.judge.reads == "pairs":
            self._pairs = self._tokenized(args)
        call_plugin(self._who, "setup", self._judging.judge.setup)
        if state.global_step == 0:
            self._judge(args, state, kwargs["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Judge, if it is time by steps."""
        every = self._judging.every_steps
        if every and (state.global_step % every == 0 or state.global_step == state.max_steps):
            self._judge(args, state, kwargs["model"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Judge, if it is time by epochs."""
        if not self._judging.every_steps and round(state.epoch) % self._judging.every_epochs == 0:
            self._judge(args, state, kwargs["model"])

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Free the judge."""
        call_plugin(self._who, "teardown", self._judging.judge.teardown)

    def _tokenized(self, args: Any) -> list[TokenizedPair]:
        """Return the pairs with the ids that they would have in training."""
        report = DataReport("the pairs of judging", num_rows=len(self._judging.pairs))
        limits = LengthLimits(args.max_length, args.max_prompt_length)
        pairs = tokenize_pairs(self._judging.pairs, self._tokenizer, limits, report)
        report.raise_if_unusable(args.on_bad_row)
        return pairs

    def _judge(self, args: Any, state: Any, model: Any) -> None:
        """Log the scores; every process does its share of the prompts or pairs."""
        policy = getattr(model, "module", model)  # generate belongs to the model itself
        label = f"epoch {state.epoch or 0:.0f}: {self._judging.judge.reads}"
        self._is_begun = state.global_step > 0
        judge = self._of_pairs if self._pairs else self._of_answers
        with self._may_stop(args):
            rows = judge(args, policy, label)
        if args.world_size > 1:
            rows = {name: gather_object(values) for name, values in rows.items()}
        self.last = {name: v for name, v in rows.items() if v and name != UNJUDGED}
        self._log(
            {
                name: (sum if name == UNJUDGED else statistics.fmean)(values)
                for name, values in rows.items()
                if values
            }
        )

    @staticmethod
    @contextlib.contextmanager
    def _may_stop(args: Any) -> Iterator[None]:
        """Let a stop signal end a judgement; one process of several cannot stop alone."""
        if args.world_size > 1:
            yield
            return
        with stop_signals() as stop, stop.interruptible():
            yield

    def _of_pairs(self, args: Any, policy: Any, label: str) -> dict[str, list[float]]:
        """Return the scores of this process's pairs."""
        share = self._pairs[args.process_index :: args.world_size]
        most = _most if is_sharded(policy) else None
        likelihoods = pair_likelihoods(
            policy, share or self._pairs[:1], _precision(args), label=label, most_rows=most
        )[: len(share)]
        scores = judged_pairs((self._judging.name, self._judging.judge), likelihoods)
        return {"judge/pairs": scores.tolist()}

    @property
    def _kinds(self) -> list[str]:
        """The kinds of answers that are drawn."""
        sampling = self._judging.sampling
        return [
            *(["greedy"] if sampling.greedy else []),
            *(["sampled"] if sampling.samples else []),
        ]

    def _of_answers(self, args: Any, policy: Any, label: str) -> dict[str, list[float]]:
        """Return the scores of the answers to this process's prompts, and their KL."""
        share = list(self._judging.pairs[args.process_index :: args.world_size])
        number = len(share)
        if is_sharded(policy):  # processes meet at every token: as many batches on each
            most = -(-len(self._judging.pairs) // args.world_size)
            share += self._judging.pairs[: most - number]
        precision = _precision(args)
        engine = InProcess(
            policy,
            self._tokenizer,
            precision=precision,
            batch_size=self._judging.batch_size,
        )
        answers = self._answers(args, engine, share, label)
        own = answers.answered[:number]
        ask = asked_anew((self._judging.name, self._judging.judge))
        found = judged(ask, own, self._judging.unfinished)
        # A process without a prompt has the same rows, empty: all of them gather each.
        rows: dict[str, list[float]] = {f"judge/{kind}": [] for kind in self._kinds}
        for kind, values in found.scores.items():
            rows[f"judge/{kind}"] = values[~np.isnan(values)].tolist()
        rows[UNJUDGED] = [float(count) for count in found.unjudged.values()]
        ended = [each for item in own for each in random_or_all(item.answers)]
        rows["judge/finished"] = [float(each.finished) for each in ended]
        rows["judge/tokens"] = [float(each.num_tokens) for each in ended]
        if self._reference is not None:
            samples = samples_of(answers.prompts, answers.drawn)
            reference = self._reference.to(policy.device)
            flat = [each for of_prompt in samples for each in of_prompt]
            kl = sampled_kl(policy, reference, flat, precision)
            rows["judge/kl"] = kl[: sum(map(len, samples[:number]))]
        return rows

    def _answers(
        self, args: Any, engine: InProcess, prompts: Sequence[PreferencePair], label: str
    ) -> Answers:
        """Return answers of the policy as it is; before the first step, those that are kept."""
        sampling = self._judging.sampling
        is_adapted = bool(getattr(engine.model, "peft_config", None))  # each run has its own
        if self._is_begun or is_adapted or args.world_size > 1:
            return answer_all(engine, prompts, sampling, label=label)
        return generate(engine, prompts, sampling, store=self._store, label=label)


def _most(number: int) -> int:
    """Return the largest number of all processes."""
    return max(gathered(number))


def _precision(args: Any) -> Precision:
    """Return the mixed precision that accelerate gives the policy."""
    if args.fp16:
        return Precision(autocast=torch.float16)
    return Precision(autocast=torch.bfloat16 if args.bf16 else None)
