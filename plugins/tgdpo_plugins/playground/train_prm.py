"""Trains a dense reward model for a playground world, to be used as ``dense-prm``.

    tgdpo playground-prm --world 0 --target steps --output runs/prm
    tgdpo train --config playground --reward-plugin dense-prm --reward-arg model=runs/prm \\
        --reward-arg preset=token-head --reward-arg output=signed --reward-transform rms

(``python -m tgdpo_plugins.playground.train_prm`` is the same command.) It learns from rollouts of
the world's base model on prompts that no split has; what their labels know, ``--target`` says
(``supervision.py``). The folder gets an ordinary token classifier, its tokenizer, and ``prm.json``,
written last: the options, and how well errors are found in rollouts that were held out.

AUC of the error tokens among all tokens and among results, and processor time, on one thread:

    target, rollouts                   found by       world 0      world 1      seconds
    steps, 3000                        low value      .987 .986    .981 .964    34 to 40
    monte-carlo-progress, 6000         low value      .927 .966    .766 .831    195
    monte-carlo-progress, 3000         low value      .836 .894    .653 .682    97
    self-consistency-progress, 3000    low value      .665 .702                 130
    monte-carlo-progress, 1500         low value      .756 .806
    monte-carlo, 3000                  its fall       .575 .589                 100
    monte-carlo, 1500                  its fall       .571 .562                 60
    self-consistency, 1500             its fall       .523 .497                 75
    outcome, 1500                      its fall       .531 .536                 25
    solved, 12 000                     its fall       .782 .834                 245 (two threads)

(The three without progress and 1500 rollouts: the better of two trials, 20 epochs at twice the
learning rate.) So the part of the chances that a step left is learnt, and the chances themselves
are not, from as many rollouts. Of the base model's answers that have a wrong step, 13 % (world 0)
and 15 % (world 1) end in the right digit all the same; the most frequent of 16 answers is right for
54 % of the prompts (world 0).
"""

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

import click

from tgdpo_core import model_fingerprint
from tgdpo_core.prm import make_classifier
from tgdpo_core.progress import stage
from tgdpo_plugins.playground.dataset import Playground, world_of
from tgdpo_plugins.playground.detection import auc, error_detection, falls
from tgdpo_plugins.playground.record import is_done, write_record
from tgdpo_plugins.playground.rollouts import Rollout, fresh_prompts, sample_rollouts
from tgdpo_plugins.playground.sampling import sampled_results
from tgdpo_plugins.playground.supervision import Results, Target, labels_for, step_labels
from tgdpo_plugins.playground.task import stated_result, true_result
from tgdpo_plugins.playground.token_classifier import (
    LabelledTokens,
    good_probabilities,
    label_tokens,
    num_steps,
    train_classifier,
)

if TYPE_CHECKING:
    from transformers import (
        LlamaForCausalLM,
        LlamaForTokenClassification,
        PreTrainedTokenizerFast,
    )


class Plan(NamedTuple):
    """How many rollouts to learn from, and how often to see each."""

    num_rollouts: int
    num_epochs: int


PLANS: dict[Target, Plan] = {
    "steps": Plan(3000, 12),
    "solved": Plan(12_000, 10),
    "outcome": Plan(12_000, 10),
    "monte-carlo": Plan(6000, 12),
    "monte-carlo-progress": Plan(6000, 12),
    "self-consistency": Plan(6000, 12),
    "self-consistency-progress": Plan(6000, 12),
}
LABEL_NAMES = {0: "bad", 1: "good"}
HELD_OUT_SHARE = 0.25
RECORD = "prm.json"


@click.command("playground-prm")
@click.option(
    "--world",
    "world_name",
    metavar="NUMBER|DIR",
    default="0",
    show_default=True,
    help="Number of a shipped world, or folder of one made by playground-world.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the model and its tokenizer.",
)
@click.option(
    "--target",
    type=click.Choice(get_args(Target)),
    default="steps",
    show_default=True,
    help="What the labels know: every step, whether all steps are right, or the last digit (of "
    "the answer, of continuations from every step, and without any answer key).",
)
@click.option(
    "--rollouts",
    "num_rollouts",
    type=click.IntRange(min=64),
    help="How many to learn from (default: "
    + ", ".join(f"{plan.num_rollouts} with {target}" for target, plan in PLANS.items())
    + ").",
)
@click.option("--seed", default=1, show_default=True, help="Seed of everything that is random.")
@click.option(
    "--threads",
    "num_threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="They share out the sums, so their number decides the last bits.",
)
def main(
    world_name: str,
    output: Path,
    target: Target,
    num_rollouts: int | None,
    seed: int,
    num_threads: int,
) -> None:
    """Train a dense reward model for a playground world.

    A folder that holds it already is left alone.
    """
    world = _world(world_name)
    plan = PLANS[target]._replace(num_rollouts=num_rollouts or PLANS[target].num_rollouts)
    options = {
        "world": world.seed,
        "base_model": model_fingerprint(str(world.model)),
        "target": target,
        "rollouts": plan.num_rollouts,
        "epochs": plan.num_epochs,
        "seed": seed,
        "threads": num_threads,
    }
    if is_done(output / RECORD, options):
        click.echo(f"{output} holds this reward model already.")
        return
    import torch

    torch.set_num_threads(num_threads)
    measured = _make(world, output, target=target, plan=plan, seed=seed)
    write_record(output / RECORD, options, measured=measured)


def _world(name: str) -> type[Playground]:
    try:
        return world_of(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--world'") from error


def _make(
    world: type[Playground], output: Path, *, target: Target, plan: Plan, seed: int
) -> dict[str, float]:
    """Write the model; return what ``_measure`` returns."""
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    base_model = LlamaForCausalLM.from_pretrained(str(world.model))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(world.model))
    num_held_out = round(HELD_OUT_SHARE * plan.num_rollouts)
    rollouts = sample_rollouts(
        base_model,
        tokenizer,
        fresh_prompts(world(), random.Random(f"rollouts {world.seed} {seed}")),
        num_rollouts=plan.num_rollouts + num_held_out,
        seed=seed,
    )
    held_out, training = rollouts[:num_held_out], rollouts[num_held_out:]
    click.echo(f"{len(training)} rollouts, {_share_right(training):.3f} end in the right digit")
    labels = labels_for(target, training, _continuing(base_model, tokenizer, seed=seed))
    model = make_classifier(base_model, LABEL_NAMES, seed=seed)
    _train(model, label_tokens(tokenizer, training, labels), plan=plan, seed=seed)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    measured = _measure(model, tokenizer, held_out)
    for name, value in measured.items():
        click.echo(f"{name}: {value:.3f}")
    return measured


def _continuing(
    base_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", *, seed: int
) -> Callable[[Sequence[str], int], Results]:
    """Return what continues texts with the base model, with another seed at every call."""
    draws = random.Random(f"continuations {seed}")
    seeds = (draws.getrandbits(32) for _ in itertools.count())

    def continue_(texts: Sequence[str], num_samples: int) -> Results:
        click.echo(f"{num_samples} continuations of {len(texts)} texts ...")
        return sampled_results(
            base_model, tokenizer, texts=texts, num_samples=num_samples, seeds=seeds
        )

    return continue_


def _train(
    model: "LlamaForTokenClassification", data: LabelledTokens, *, plan: Plan, seed: int
) -> None:
    """Train the classifier behind a progress bar."""
    total = num_steps(len(data.ids), plan.num_epochs)
    with stage("reward model", total, "step") as bar:

        def on_step(loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        train_classifier(model, data, num_epochs=plan.num_epochs, seed=seed, on_step=on_step)


def _measure(
    model: "LlamaForTokenClassification",
    tokenizer: "PreTrainedTokenizerFast",
    held_out: Sequence[Rollout],
) -> dict[str, float]:
    """Return how well the classifier does on rollouts that it has not seen, by AUC.

    The checker is asked here, whatever the labels knew; nothing learns from it.
    """
    import numpy as np

    steps = label_tokens(tokenizer, held_out, [step_labels(rollout) for rollout in held_out])
    good_ST = good_probabilities(model, steps.ids)
    last_S = good_ST[steps.ids == tokenizer.eos_token_id].numpy()
    is_right_S = np.array([rollout.verdict.solved for rollout in held_out])
    by_value = error_detection(1 - good_ST, steps)
    by_fall = error_detection(falls(good_ST), steps)
    return {
        "errors among all tokens, by a low value": by_value.among_all,
        "errors among results, by a low value": by_value.among_results,
        "errors among all tokens, by the fall of the value": by_fall.among_all,
        "errors among results, by the fall of the value": by_fall.among_results,
        "right answers, by the value of EOS": auc(last_S[is_right_S], last_S[~is_right_S]),
    }


def _share_right(rollouts: Sequence[Rollout]) -> float:
    num_right = sum(
        stated_result(rollout.response) == true_result(rollout.prompt) for rollout in rollouts
    )
    return num_right / len(rollouts)


if __name__ == "__main__":
    main()
