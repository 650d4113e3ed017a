"""Makes the playground's shipped files, the base model and the pairs, from seeds.

    tgdpo playground-world --seed 4 --output worlds/4
    python -m tgdpo_plugins.playground.build --seed 4 --output worlds/4

A seed is a *world*: its own demonstrator, base model, prompts and pairs (splits: ``splits.py``). A
world takes 66 seconds of processor time. A folder gets

    model/      the base model, its tokenizer and its known defects
    data/       the pairs of every split that is no part or variant of another
    splits/     the pairs of all splits, saved by ``datasets``, for ``data.path`` and ``data.split``
    world.json  how it was made; written last, and found there, the command has nothing to do

Shipped are seeds 0 (``model/`` and ``data/`` beside this file) to 3 (``worlds/``), made with
``--threads 2``. The same seed gives the same files, byte for byte, with the same number of threads,
the same versions of torch (2.13.0, CPU) and transformers (5.23.0) and the same kind of processor.

What came out. Solved: by the base model, of 300 prompts that no pair has. Right: the chosen answers
of ``train``, ``test``, ``other``; with how many mistakes in a chosen and a rejected answer of
``train``.

    world  solved, sampled  greedy  right               mistakes
    0      .357             .510    .625  .570  .616    .42  1.84
    1      .343             .487    .593  .607  .624    .46  1.85
    2      .387             .490    .632  .640  .601    .42  1.83
    3      .260             .430    .555  .553  .571    .54  1.93
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tgdpo_core.progress import stage
from tgdpo_plugins.playground.base_model import NUM_TRAINING_STEPS, make_model, train
from tgdpo_plugins.playground.dataset import RECORD, Playground, world_in
from tgdpo_plugins.playground.demonstrator import Demonstrator
from tgdpo_plugins.playground.pairs import GradedPair, graded_pairs, write_pairs
from tgdpo_plugins.playground.record import is_done, write_record
from tgdpo_plugins.playground.sampling import respond, solved_rate
from tgdpo_plugins.playground.splits import ALL_SPLITS, SPLITS
from tgdpo_plugins.playground.task import OPERATORS, make_prompt, solve
from tgdpo_plugins.playground.tokenizer import make_tokenizer

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

NUM_HELD_OUT_PROMPTS = 300


@click.command("playground-world")
@click.option("--seed", default=0, show_default=True, help="Seed of everything that is random.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for model/, data/ and splits/.",
)
@click.option(
    "--threads",
    "num_threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="They share out the sums, so their number decides the last bits.",
)
def main(seed: int, output: Path, num_threads: int) -> None:
    """Make a world of the playground: its base model and pairs.

    A folder that holds it already is left alone.
    """
    options = {"seed": seed, "threads": num_threads}
    if is_done(output / RECORD, options):
        click.echo(f"{output} holds this world already.")
        return
    import torch

    torch.set_num_threads(num_threads)
    tokenizer = make_tokenizer()
    demonstrator = Demonstrator.draw(_stream(seed, "demonstrator"))
    model = _train_base_model(tokenizer, demonstrator, seed=seed)
    _save_model(output / "model", model, tokenizer, demonstrator)
    prompts = _Prompts(seed)
    solved = _solved_rates(model, tokenizer, prompts.of(OPERATORS))
    _make_data(output / "data", model, tokenizer, prompts)
    _save_splits(output / "splits", world_in(output, seed=seed)())
    write_record(output / RECORD, options, solved=solved)


def _stream(seed: int, purpose: str) -> random.Random:
    """Return a random stream of its own for each purpose."""
    return random.Random(f"{purpose} {seed}")


class _Prompts:
    """Prompts of a world, none of them twice."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen: set[str] = set()
        self._endless: dict[Sequence[str], Iterator[str]] = {}

    def of(self, operators: Sequence[str]) -> Iterator[str]:
        """Return the prompts with these operators that were not taken yet, without end."""
        return self._endless.setdefault(operators, self._draw(operators))

    def _draw(self, operators: Sequence[str]) -> Iterator[str]:
        purpose = "prompts" if operators == OPERATORS else f"prompts {''.join(operators)}"
        rng = _stream(self._seed, purpose)
        while True:
            prompt = make_prompt(rng, operators=operators)
            if prompt not in self._seen:
                self._seen.add(prompt)
                yield prompt


def _train_base_model(
    tokenizer: "PreTrainedTokenizerFast", demonstrator: Demonstrator, *, seed: int
) -> "LlamaForCausalLM":
    """Return the trained base model."""
    model = make_model(tokenizer, seed=seed)
    answers = (solve, demonstrator.answer)
    with stage("base model", NUM_TRAINING_STEPS * len(answers), "step") as bar:

        def on_step(loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        train(model, tokenizer, answers=answers, rng=_stream(seed, "training"), on_step=on_step)
    return model


def _save_model(
    folder: Path,
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    demonstrator: Demonstrator,
) -> None:
    """Write the model, its tokenizer and its known defects to one folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    demonstrator.save(folder / "defects.json")


def _solved_rates(
    model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", prompts: Iterator[str]
) -> dict[str, float]:
    """Return and print how often the model is right on prompts that no pair will have."""
    held_out = [next(prompts) for _ in range(NUM_HELD_OUT_PROMPTS)]
    rates = {}
    for name, seed in (("sampled", 0), ("greedy", None)):
        responses = respond(model, tokenizer, prompts=held_out, seed=seed)
        rates[name] = solved_rate(held_out, responses)
        click.echo(f"solved, {name}: {rates[name]:.3f}")
    return rates


def _make_data(
    folder: Path,
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    prompts: _Prompts,
) -> None:
    """Write the pairs of every split; no prompt is in two of them."""
    seeds = iter(range(1, 1_000_000))  # 0 was the one of the solved rates

    def respond_anew(some: Sequence[str]) -> list[str | None]:
        return respond(model, tokenizer, prompts=some, seed=next(seeds))

    folder.mkdir(parents=True, exist_ok=True)
    for name, split in SPLITS.items():
        some = prompts.of(split.operators)
        pairs = graded_pairs(some, respond_anew, num_pairs=split.num_pairs)
        write_pairs(pairs, folder / split.file_name)
        click.echo(f"{name}: {_summary(pairs)}")


def _save_splits(folder: Path, world: Playground) -> None:
    """Save the rows of all splits as ``datasets`` does."""
    from datasets import Dataset, DatasetDict

    splits = {name: Dataset.from_list(list(world.rows(name))) for name in ALL_SPLITS}
    DatasetDict(splits).save_to_disk(folder)


def _summary(pairs: Sequence[GradedPair]) -> str:
    share_right = sum(pair.chosen_errors == 0 for pair in pairs) / len(pairs)
    chosen_errors = sum(pair.chosen_errors for pair in pairs) / len(pairs)
    rejected_errors = sum(pair.rejected_errors for pair in pairs) / len(pairs)
    return (
        f"{len(pairs)} pairs, chosen right in {share_right:.3f}, "
        f"mistakes {chosen_errors:.2f} chosen, {rejected_errors:.2f} rejected"
    )


if __name__ == "__main__":
    main()
