"""``tgdpo inspect``: token rewards and weights of some pairs, coloured; a browser of all."""

from pathlib import Path
from typing import Any

import click

from tgdpo_cli import completion
from tgdpo_cli.help_groups import GroupedCommand
from tgdpo_cli.main import Session
from tgdpo_cli.output import json_option, quiet_libraries, show_data
from tgdpo_cli.recipe_options import recipe_from, recipe_options
from tgdpo_cli.token_views import facts, serve_pages, show_pairs, write_pages

_SHOWN = 3  # pairs, where nobody says how many


@click.command("inspect", cls=GroupedCommand)
@click.argument("run", required=False, metavar="[RUN]", shell_complete=completion.runs)
@recipe_options
@click.option("--rows", metavar="I,J,...", help="Training pairs to show, counted from 0.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="The first N pairs.  [default: 3; browser: all]"
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one self-contained HTML file instead.",
)
@click.option(
    "--pages",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write a browser of all pairs: sorted, filtered, in pages; open FOLDER/index.html.",
)
@click.option("--serve", is_flag=True, help="The same browser at 127.0.0.1, for this machine only.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Of --serve; 0: any.",
)
@click.option(
    "--per-page",
    type=click.IntRange(1, 500),
    default=20,
    show_default=True,
    help="Pairs on a page of the browser.",
)
@click.option(
    "--judge",
    metavar="NAME",
    help="In the browser: a judge that knows errors; default: the recipe's, the data set's, or "
    "marks in the rows (error_spans, first_error_step).",
)
@json_option
@click.pass_obj
def command(
    session: Session,
    /,
    run: str | None,
    rows: str | None,
    limit: int | None,
    html_path: Path | None,
    pages: Path | None,
    serve: bool,
    port: int,
    per_page: int,
    judge: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show training pairs with their tokens coloured by reward and by weight.

    Takes a run folder (its config.yaml), or the options of `tgdpo train`. Only the pairs shown are
    scored, unless a transform needs the whole training set; what is stored is not computed again.
    Where the output is no terminal, the values are printed as a table; --json has them in full.

    --serve and --pages show all pairs in a browser, sorted and filtered by their rewards, marked
    errors and failure signs; of several rewards each stands beside the others.

    \b
      tgdpo inspect runs/tgdpo --rows 0,5
      tgdpo inspect --dataset playground --reward-plugin playground-oracle --html tokens.html
      tgdpo inspect runs/tgdpo --serve
      tgdpo inspect --config my.yaml --reward-plugin mine --reward-plugin confidence --pages tokens
    """
    wanted = _row_numbers(rows)
    browses = _require_one_view(html_path, pages, serve=serve, judge=judge, as_json=as_json)
    recipe = recipe_from(session, _with_run(run, options), needs_output=False)
    quiet_libraries()
    from tgdpo_core.preparation.plan import make_plan
    from tgdpo_core.preparation.reading import read
    from tgdpo_core.preparation.tokens import tokenize

    plan = make_plan(recipe, session.plugins)
    tokens = tokenize(plan, read(plan), show=None if as_json else show_data)
    if wanted is None and (limit or not browses):
        wanted = list(range(min(limit or _SHOWN, len(tokens.train))))
    if not browses:
        assert wanted is not None
        show_pairs(plan, tokens, wanted, html=html_path, as_json=as_json)
        return
    from tgdpo_core.preparation.browsing import pair_source

    pairs = pair_source(plan, tokens, facts=facts(plan), judge=judge, rows=wanted)
    if pages:
        write_pages(pairs, pages, per_page, as_json=as_json)
    else:
        serve_pages(pairs, port, per_page)


def _require_one_view(
    html_path: Path | None, pages: Path | None, *, serve: bool, judge: str | None, as_json: bool
) -> bool:
    """Return whether the browser is asked for; refuse one that cannot be, before any work."""
    given = [n for n, v in (("--html", html_path), ("--pages", pages), ("--serve", serve)) if v]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other.")
    browses = bool(pages or serve)
    if judge and not browses:
        raise click.UsageError("--judge belongs to --serve and --pages.")
    if serve and as_json:
        raise click.UsageError("--serve goes on until it is stopped: it has no --json.")
    if serve:
        from tgdpo_core.reports.browser.server import require_packages

        require_packages()
    if pages:
        from tgdpo_core.reports.browser.pages import require_free

        require_free(pages)
    return browses


def _row_numbers(rows: str | None) -> list[int] | None:
    if rows is None:
        return None
    parts = [part.strip() for part in rows.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.UsageError(f"--rows {rows}: expected numbers such as 0,5.")
    return [int(part) for part in parts]


def _with_run(run: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with the recipe of a run folder."""
    from tgdpo_core.errors import UsageError

    if run is None:
        return options
    if options["config"]:
        raise click.UsageError("Give a run folder or --config, not both.")
    config = Path(run) / "config.yaml"
    if not config.is_file():
        raise UsageError(f"{run} is no run folder: it holds no config.yaml.")
    return {**options, "config": str(config)}
