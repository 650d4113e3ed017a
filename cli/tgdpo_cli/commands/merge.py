"""``tgdpo merge``: an adapter and its base model as one model."""

from pathlib import Path

import click

from tgdpo_cli import completion
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries

_FEW = 0.5


@click.command("merge")
@click.argument("run", shell_complete=completion.runs)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the merged model; default: merged/ in the run folder.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Of the weights; auto: that of the base model as it is stored.",
)
@click.option("--overwrite", is_flag=True, help="Replace the merged model that the folder holds.")
@click.option("--trust-remote-code", is_flag=True, help="Run code that the base model brings.")
@click.option("--allow-pickle", is_flag=True, help="Read weights that are not safetensors.")
@json_option
def command(
    run: str,
    output_dir: Path | None,
    dtype: str,
    overwrite: bool,
    trust_remote_code: bool,
    allow_pickle: bool,
    as_json: bool,
) -> None:
    """Write the weights of a LoRA run merged into its base model.

    RUN is a run folder, a checkpoint, an adapter folder or a Hub id. The folder holds safetensors,
    tokenizer, generation config and a model card, and needs neither peft nor the base model.
    """
    quiet_libraries()
    from tgdpo_core.models.loading import Trust
    from tgdpo_core.models.merging import merge

    if output_dir is None:
        if not (Path(run) / "run.json").is_file():
            raise click.UsageError(f"'{run}' is no run folder: give --output-dir.")
        output_dir = Path(run) / "merged"
    done = merge(
        run,
        output_dir,
        dtype=dtype,
        trust=Trust(trust_remote_code, allow_pickle),
        overwrite=overwrite,
    )
    if as_json:
        print_json(
            {
                "base": str(done.base),
                "folder": str(done.folder),
                "dtype": str(done.dtype),
                "changed_share": done.moved,
            }
        )
        return
    echo(f"Merged into {done.base}: {done.folder} ({done.dtype})")
    echo(f"The adapter changes {done.moved:.1%} of the weights that it is on.")
    if done.moved < _FEW:
        echo(f"The rest is lost in {done.dtype}; --dtype float32 keeps it.")
