"""``tgdpo train-prm``: from step labels to a dense reward model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.main import Session
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries

if TYPE_CHECKING:
    from tgdpo_core.prm.training import PrmSettings


@click.command("train-prm")
@click.option("--model", required=True, help="A causal language model: Hub id, folder, run folder.")
@click.option("--dataset", required=True, help="Rows with marked steps: file, folder or Hub id.")
@click.option("--split", default="train", show_default=True, help="Of a data set with several.")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the reward model and its tokenizer.",
)
@click.option(
    "--target",
    type=click.Choice(("unknown", "wrong", "right")),
    default="unknown",
    show_default=True,
    help="What the steps behind a marked first error count as, where they were not judged.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--learning-rate", type=float, default=3e-5, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--max-length",
    type=click.IntRange(min=8),
    default=1024,
    show_default=True,
    help="Most tokens; steps that do not fit in whole are left out.",
)
@click.option(
    "--held-out",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of the problems that is only judged.",
)
@click.option(
    "--mixed-precision",
    type=click.Choice(("no", "bfloat16")),
    default="no",
    show_default=True,
    help="Weights stay float32.",
)
@click.option(
    "--step-separator", default="\n", help="Ends a step: $'\\n\\n' in a shell.  [default: newline]"
)
@click.option("--limit", type=click.IntRange(min=1), help="The first N rows.")
@click.option(
    "--on-bad-row",
    type=click.Choice(("error", "skip")),
    default="error",
    show_default=True,
    help="What a row without usable marks does.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
@click.option("--overwrite", is_flag=True, help="Replace the reward model that the folder holds.")
@json_option
@click.pass_obj
def command(
    session: Session, /, output_dir: Path, threads: int | None, as_json: bool, **options: Any
) -> None:
    """Train a dense reward model (PRM) on marked steps.

    Rows: the layouts of `tgdpo bench reward`. The folder is an ordinary token-classification
    checkpoint in TRL's layout; a folder that holds it already is left alone.

    \b
      tgdpo train-prm --model MODEL --dataset marks.jsonl --output-dir runs/prm
      tgdpo bench reward dense-prm --reward-arg model=runs/prm \\
          --reward-arg preset=token-classification --model MODEL --dataset other-marks.jsonl
      tgdpo train ... --reward-plugin dense-prm --reward-arg model=runs/prm \\
          --reward-arg preset=token-classification --reward-transform rms
    """
    quiet_libraries()
    import torch

    from tgdpo_core.marks.reading import MarkedSource
    from tgdpo_core.prm.training import train_prm
    from tgdpo_core.progress import StageBar

    if threads:
        torch.set_num_threads(threads)
    source = MarkedSource(
        options["dataset"],
        split=options["split"],
        separator=options["step_separator"],
        limit=options["limit"],
        on_bad_row=options["on_bad_row"],
    )
    with StageBar(desc="reward model", unit="step") as bar:

        def on_step(done: int, total: int, loss: float) -> None:
            bar.expect(total)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(done - bar.n)

        found = train_prm(
            source,
            options["model"],
            output_dir,
            _settings(options),
            session.plugins,
            say=lambda line: echo(line, err=as_json),
            on_step=on_step,
            overwrite=options["overwrite"],
        )
    if as_json:
        print_json({**found, "folder": str(output_dir)})
    else:
        _show(found, output_dir, options["step_separator"])


def _settings(options: dict[str, Any]) -> "PrmSettings":
    from tgdpo_core.prm.training import PrmSettings

    return PrmSettings(
        target=options["target"],
        num_epochs=options["epochs"],
        learning_rate=options["learning_rate"],
        batch_size=options["batch_size"],
        max_length=options["max_length"],
        held_out_share=options["held_out"],
        mixed_precision=options["mixed_precision"],
        seed=options["seed"],
    )


def _show(found: dict[str, Any], output: Path, separator: str) -> None:
    auc = found["held_out_step_auc"]
    if auc is None:
        echo("Step AUC on held-out problems: not defined (no right or no wrong step there).")
    else:
        interval = "" if auc["low"] is None else f" [{auc['low']:.3f}, {auc['high']:.3f}]"
        echo(f"Step AUC on held-out problems: {auc['value']:.3f}{interval}")
    echo(
        f"{output}: use it with --reward-plugin dense-prm --reward-arg model={output} "
        "--reward-arg preset=token-classification"
        + (
            ""
            if separator == "\n"
            else f" --reward-arg $'step_separator={separator.encode('unicode_escape').decode()}'"
        )
    )
