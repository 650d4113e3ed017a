"""``tgdpo exact``: the losses in a world where everything is enumerated."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tgdpo_cli.list_options import ListCommand, NumberList
from tgdpo_cli.output import echo, json_option, print_json, table

if TYPE_CHECKING:
    from tgdpo_core.experiments.exact.study import Tables


@click.command("exact", cls=ListCommand)
@click.option("--vocabulary", type=int, default=4, show_default=True, help="Tokens to choose from.")
@click.option("--horizon", type=int, default=3, show_default=True, help="Tokens of a sequence.")
@click.option(
    "--beta",
    "betas",
    cls=NumberList,
    default=("0.1,0.5,1",),
    metavar="NUMBER...",
    help="Strengths of the tie to the reference.  [default: 0.1 0.5 1]",
)
@click.option(
    "--alpha",
    "alphas",
    cls=NumberList,
    default=("0,0.5",),
    metavar="NUMBER...",
    help="Strengths of the guidance, in [0, 1).  [default: 0 0.5]",
)
@click.option("--worlds", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the first world.")
@json_option
def command(
    vocabulary: int,
    horizon: int,
    betas: tuple[float, ...],
    alphas: tuple[float, ...],
    worlds: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compare the full model, the simplified loss and the official loss without any sampling.

    In a small random world all sequences are listed, so Z(s_t), the optimal policies and the
    minimum of every loss are exact. The numbers are means over the worlds; what follows from them
    is said at the end.

    \b
      tgdpo exact
      tgdpo exact --beta 0.5 --alpha 0 0.1 0.5 --worlds 4 --json
    """
    import torch

    from tgdpo_core.experiments.exact.findings import findings
    from tgdpo_core.experiments.exact.study import Settings, mean_tables, run_world
    from tgdpo_core.progress import StageBar

    torch.set_num_threads(1)  # on tensors this small, several threads wait for each other
    settings = Settings(vocabulary, horizon, betas, alphas)
    seeds = range(seed, seed + worlds)
    tables = [run_world(settings, seed=s) for s in StageBar(seeds, desc="worlds", unit="world")]
    means = mean_tables(tables)
    if as_json:
        print_json(
            {
                "settings": {**asdict(settings), "worlds": worlds, "seed": seed},
                "means": asdict(means),
                "worlds": [
                    {"seed": s, **asdict(one)} for s, one in zip(seeds, tables, strict=True)
                ],
                "findings": findings(means),
            }
        )
        return
    echo(
        f"Worlds: {worlds}, each of {vocabulary}^{horizon} = {vocabulary**horizon} sequences; "
        "f = 1 + alpha r; numbers are means over worlds.\n"
    )
    _show(means)
    echo("\nWhat follows from these numbers")
    for finding in findings(means):
        echo(f"- {finding}")


def _show(tables: "Tables") -> None:
    from tgdpo_core.experiments.exact.gradients import DATASET_SIZES

    echo("1. Cosine of the gradients with and without Z(s_t), at the reference policy")
    table(
        ("beta", "alpha", "sd delta", "1 pair", *(f"{size} pairs" for size in DATASET_SIZES)),
        [
            _cells(row.beta, row.alpha, row.delta_std, f"{row.one_pair:.6f}", *row.datasets)
            for row in tables.gradients
        ],
        names=2,
    )
    echo("\n2. Minima, Bradley-Terry labels: KL between policies, nats per sequence")
    echo("   tok: token-optimal policy, seq: sequence-optimal policy (RLHF)")
    table(
        ("beta", "alpha", "full||tok", "tok||simplified", "seq||simplified", "seq||official"),
        [
            _cells(
                row.beta,
                row.alpha,
                row.kl_full_token,
                row.kl_token_simplified,
                row.kl_sequence_simplified,
                row.kl_sequence_official,
            )
            for row in tables.optima
        ],
        names=2,
    )
    echo("\n3. What the same policies lack of the largest E[R] - beta KL; the least losses")
    table(
        (
            *("beta", "alpha", "tok", "simplified", "official"),
            *("label entropy", "loss simplified", "loss official"),
        ),
        [
            _cells(
                row.beta,
                row.alpha,
                row.shortfall_token,
                row.shortfall_simplified,
                row.shortfall_official,
                row.entropy,
                row.loss_simplified,
                row.loss_official,
            )
            for row in tables.optima
        ],
        names=2,
    )
    if not tables.coin_flips:
        return
    echo("\n4. Minima, coin-flip labels (ln 2 = 0.6931): losses; what the official loss does")
    table(
        (
            *("beta", "alpha", "reward in f", "DPO", "simplified", "official"),
            *("KL to reference", "guiding reward", "true reward"),
        ),
        [
            _cells(
                row.beta,
                row.alpha,
                row.guidance,
                row.loss_dpo,
                row.loss_simplified,
                row.loss_official,
                row.kl_official,
                f"{row.guiding_gain:+.3f}",
                f"{row.true_gain:+.3f}",
            )
            for row in tables.coin_flips
        ],
        names=2,
    )


def _cells(beta: float, alpha: float, *values: float | str) -> tuple[str, ...]:
    """Return one row; what is zero but for rounding is shown as zero."""
    return (
        f"{beta:g}",
        f"{alpha:g}",
        *(value if isinstance(value, str) else f"{value + 0.0:.4f}" for value in values),
    )
