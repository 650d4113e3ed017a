"""``tgdpo inspect``: token rewards and weights of some pairs, coloured; a browser of all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli import completion
from tgdpo_cli.help_groups import GroupedCommand
from tgdpo_cli.main import Session
from tgdpo_cli.output import echo, quiet_libraries, show_data, table
from tgdpo_cli.recipe_options import recipe_from, recipe_options

if TYPE_CHECKING:
    from tgdpo_core.preparation.plan import Plan
    from tgdpo_core.reports.browser.numbers import PairSource
    from tgdpo_core.reports.heatmap import Heatmap

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
    **options: Any,
) -> None:
    """Show training pairs with their tokens coloured by reward and by weight.

    Takes a run folder (its config.yaml), or the options of `tgdpo train`. Only the pairs shown are
    scored, unless a transform needs the whole training set; what is stored is not computed again.
    Where the output is no terminal, the values are printed as a table.

    --serve and --pages show all pairs in a browser, sorted and filtered by their rewards, marked
    errors and failure signs; of several rewards each stands beside the others.

    \b
      tgdpo inspect runs/tgdpo --rows 0,5
      tgdpo inspect --dataset playground --reward-plugin playground-oracle --html tokens.html
      tgdpo inspect runs/tgdpo --serve
      tgdpo inspect --config my.yaml --reward-plugin mine --reward-plugin confidence --pages tokens
    """
    wanted = _row_numbers(rows)
    browses = _require_one_view(html_path, pages, serve=serve, judge=judge)
    if serve:
        from tgdpo_core.reports.browser.server import require_packages

        require_packages()
    if pages:
        from tgdpo_core.reports.browser.pages import require_free

        require_free(pages)
    recipe = recipe_from(session, _with_run(run, options), needs_output=False)
    quiet_libraries()
    from tgdpo_core.preparation.plan import make_plan
    from tgdpo_core.preparation.prepared import scored_rows
    from tgdpo_core.preparation.reading import read
    from tgdpo_core.preparation.tokens import tokenize
    from tgdpo_core.reports.heatmap import heatmap

    plan = make_plan(recipe, session.plugins)
    tokens = tokenize(plan, read(plan), show=show_data)
    if wanted is None and (limit or not browses):
        wanted = list(range(min(limit or _SHOWN, len(tokens.train))))
    if browses:
        from tgdpo_core.preparation.browsing import pair_source

        pairs = pair_source(plan, tokens, facts=_facts(plan), judge=judge, rows=wanted)
        _write_pages(pairs, pages, per_page) if pages else _serve(pairs, port, per_page)
        return
    assert wanted is not None
    shown = heatmap(
        scored_rows(plan, tokens, wanted),
        facts=_facts(plan),
        token_name=tokens.tokenizer.convert_ids_to_tokens,
        numbers=wanted,
    )
    if html_path:
        _write_html(shown, html_path)
    else:
        _print(shown)


def _require_one_view(
    html_path: Path | None, pages: Path | None, *, serve: bool, judge: str | None
) -> bool:
    """Return whether the browser is asked for."""
    given = [n for n, v in (("--html", html_path), ("--pages", pages), ("--serve", serve)) if v]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other.")
    browses = bool(pages or serve)
    if judge and not browses:
        raise click.UsageError("--judge belongs to --serve and --pages.")
    return browses


def _write_pages(pairs: "PairSource", folder: Path, per_page: int) -> None:
    from tgdpo_core.reports.browser.pages import INDEX, write_pages

    written = write_pages(pairs, folder, per_page)
    echo(
        f"{folder / INDEX}: {len(pairs.scored)} pairs in {written.num_parts} pages, "
        f"{written.num_bytes / 2**20:.1f} MiB. Open it in any browser."
    )


def _serve(pairs: "PairSource", port: int, per_page: int) -> None:
    from tgdpo_core.reports.browser.content import Browser
    from tgdpo_core.reports.browser.numbers import pair_numbers
    from tgdpo_core.reports.browser.server import HOST, listening, serve

    with listening(port) as sock:
        browser = Browser(pairs, pair_numbers(pairs), per_page)
        found = sock.getsockname()[1]
        echo(f"http://{HOST}:{found}/ shows {len(browser.pairs.scored)} pairs. Ctrl-C ends it.")
        serve(browser, sock)
    echo("Stopped.")


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


def _facts(plan: "Plan") -> list[tuple[str, str]]:
    recipe = plan.recipe
    name, shaping = plan.shaping
    sources = [
        " ".join(
            (
                source.name + _options(source.reward.options()),
                *(f"| {n}{_options(t.options())}" for n, t in source.transforms),
                *([f"* {source.weight:g}"] if source.weight != 1 else []),
            )
        )
        for source in plan.sources
    ]
    return [
        ("model", recipe.model.name_or_path or f"that of {recipe.data.path}"),
        ("data", f"{recipe.data.path} ({recipe.data.split})"),
        ("reward", " + ".join(sources)),
        ("shaping", name + _options(shaping.options())),
        ("beta", f"{recipe.loss.beta:g}"),
    ]


def _options(values: dict[str, Any]) -> str:
    listed = ", ".join(f"{k}={_visible(v)}" for k, v in values.items() if v is not None)
    return f"({listed})" if listed else ""


def _visible(value: Any) -> Any:
    """Return a value of an option; of text with line breaks or blanks at its ends what they are."""
    is_plain = not isinstance(value, str) or (value.isprintable() and value == value.strip())
    return value if is_plain and value != "" else json.dumps(value)


def _write_html(shown: "Heatmap", path: Path) -> None:
    from tgdpo_core.errors import UsageError
    from tgdpo_core.reports.heatmap_html import heatmap_html

    try:
        path.write_text(heatmap_html(shown), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--html {path}: cannot be written: {error}") from error
    echo(f"{path}: {len(shown.pairs)} pairs. Open it in any browser.")


def _print(shown: "Heatmap") -> None:
    from rich.console import Console

    from tgdpo_core.reports.heatmap_terminal import print_heatmap

    console = Console(highlight=False)
    if console.is_terminal and console.color_system:
        print_heatmap(shown, console)
        return
    for label, value in shown.facts:
        echo(f"{label}: {value}")
    table(("pair", "side", "token", "text", "reward", "weight"), _value_rows(shown))


def _value_rows(shown: "Heatmap") -> Sequence[tuple[str, ...]]:
    from tgdpo_core.reports.heatmap import number
    from tgdpo_core.reports.visible import escaped

    return [
        (
            escaped(pair.where),
            response.side,
            str(position),
            "".join(piece.text for piece in token.pieces),
            number(token.reward),
            number(token.weight),
        )
        for pair in shown.pairs
        for response in pair.responses
        for position, token in enumerate(response.tokens)
    ]
