"""How ``tgdpo inspect`` shows scored pairs: terminal, table, JSON, one page, a browser."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tgdpo_cli.output import echo, options_text, print_json, table

if TYPE_CHECKING:
    from tgdpo_core.preparation.plan import Plan
    from tgdpo_core.preparation.tokens import Tokens
    from tgdpo_core.reports.browser.numbers import PairSource
    from tgdpo_core.reports.heatmap import Heatmap
    from tgdpo_core.scoring.pairs import ScoredPair


def show_pairs(
    plan: "Plan", tokens: "Tokens", wanted: Sequence[int], *, html: Path | None, as_json: bool
) -> None:
    """Score some pairs and show them.

    Args:
        plan: what is scored.
        tokens: its pairs.
        wanted: numbers of training pairs.
        html: write the page there, in place of the terminal.
        as_json: print all values as JSON.
    """
    from tgdpo_core.preparation.prepared import scored_rows
    from tgdpo_core.reports.heatmap import heatmap

    scored, names = scored_rows(plan, tokens, wanted), tokens.tokenizer.convert_ids_to_tokens
    shown = heatmap(scored, facts=facts(plan), token_name=names, numbers=wanted)
    if html:
        _write_html(shown, html, err=as_json)
    if as_json:
        _print_values(shown, scored, names, html)
    elif not html:
        _print(shown)


def write_pages(pairs: "PairSource", folder: Path, per_page: int, *, as_json: bool) -> None:
    """Write a browser of all pairs into a folder."""
    from tgdpo_core.reports.browser import pages as browser

    written = browser.write_pages(pairs, folder, per_page)
    echo(
        f"{folder / browser.INDEX}: {len(pairs.scored)} pairs in {written.num_parts} pages, "
        f"{written.num_bytes / 2**20:.1f} MiB. Open it in any browser.",
        err=as_json,
    )
    if as_json:
        numbers = {"num_pairs": len(pairs.scored), "num_parts": written.num_parts}
        print_json({"folder": str(folder), "file": str(folder / browser.INDEX), **numbers})


def serve_pages(pairs: "PairSource", port: int, per_page: int) -> None:
    """Show a browser of all pairs at 127.0.0.1 until it is stopped."""
    from tgdpo_core.reports.browser.content import Browser
    from tgdpo_core.reports.browser.numbers import pair_numbers
    from tgdpo_core.reports.browser.server import HOST, listening, serve

    with listening(port) as sock:
        browser = Browser(pairs, pair_numbers(pairs), per_page)
        found = sock.getsockname()[1]
        echo(f"http://{HOST}:{found}/ shows {len(browser.pairs.scored)} pairs. Ctrl-C ends it.")
        serve(browser, sock)
    echo("Stopped.")


def facts(plan: "Plan") -> list[tuple[str, str]]:
    """Return label and value of what is scored."""
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
    listed = options_text(values)
    return f"({listed})" if listed else ""


def _print_values(
    shown: "Heatmap", scored: "Sequence[ScoredPair]", names: Any, file: Path | None
) -> None:
    from tgdpo_core.reports.token_values import pair_values

    print_json(
        {
            "facts": dict(shown.facts),
            "weights_hardly_differ": shown.is_negligible,
            "pairs": [
                pair_values(pair, names, number=heat.number or 0)
                for pair, heat in zip(scored, shown.pairs, strict=True)
            ],
            **({"file": str(file)} if file else {}),
        }
    )


def _write_html(shown: "Heatmap", path: Path, *, err: bool) -> None:
    from tgdpo_core.errors import UsageError
    from tgdpo_core.reports.heatmap_html import heatmap_html

    try:
        path.write_text(heatmap_html(shown), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--html {path}: cannot be written: {error}") from error
    echo(f"{path}: {len(shown.pairs)} pairs. Open it in any browser.", err=err)


def _print(shown: "Heatmap") -> None:
    from rich.console import Console

    from tgdpo_core.reports.heatmap_terminal import print_heatmap

    console = Console(highlight=False)
    if console.is_terminal and console.color_system:
        print_heatmap(shown, console)
        return
    for label, value in shown.facts:
        echo(f"{label}: {value}")
    table(("where", "pair", "side", "token", "text", "reward", "weight"), _value_rows(shown))


def _value_rows(shown: "Heatmap") -> Sequence[tuple[str, ...]]:
    from tgdpo_core.reports.heatmap import number
    from tgdpo_core.reports.visible import escaped

    return [
        (
            escaped(pair.where),
            "" if pair.number is None else str(pair.number),
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
