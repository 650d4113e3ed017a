"""How ``tgdpo evaluate`` reads rows: options that say what a recipe's ``data`` says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.option_sets import option_set
from tgdpo_cli.output import echo
from tgdpo_cli.recipe_options import key_value

if TYPE_CHECKING:
    from tgdpo_cli.main import Session
    from tgdpo_core.data.columns import RowReading
    from tgdpo_core.data.report import DataReport, OnBadRow
    from tgdpo_core.data.text_rules import TextRules
    from tgdpo_core.plugin_api.manager import PluginManager

_OPTIONS = [
    click.option(
        "--columns",
        "columns",
        multiple=True,
        metavar="FIELD=COLUMN",
        help="The column that holds a field, as data.columns; COLUMN=null leaves one alone.",
    ),
    click.option(
        "--format",
        "row_format",
        type=click.Choice(["auto", "explicit", "implicit", "sharegpt", "instruction"]),
        default="auto",
        show_default=True,
        help="Row format, as data.format.",
    ),
    click.option(
        "--chat-template-kwarg",
        "template_kwargs",
        multiple=True,
        metavar="KEY=VALUE",
        help="Variable of the chat template, as in data.chat_template_kwargs.",
    ),
    click.option(
        "--special-tokens",
        type=click.Choice(["auto", "text", "keep", "error"]),
        default="auto",
        show_default=True,
        help="Those in the rows' own text, as data.special_tokens.",
    ),
    click.option(
        "--on-bad-row",
        type=click.Choice(["error", "skip"]),
        default="error",
        show_default=True,
        help="skip: leave out rows that cannot be read, and count them.",
    ),
]
_HERE = {"--set data.columns.": "--columns ", "--set data.format=": "--format "}


row_options = option_set(_OPTIONS)
"""Adds the options to a command; their values go to ``evaluation_rows``."""


@dataclass(frozen=True)
class EvaluationRows:
    """The rows of a data set as pairs.

    Attributes:
        dataset: its name.
        plugins: where registered ones are found.
        reading: which column is what.
        rules: how text is read.
        settings: JSON that says how they are read.
    """

    dataset: str
    plugins: "PluginManager"
    reading: "RowReading"
    rules: "TextRules"
    settings: Mapping[str, Any]

    def of_prompts(self) -> "EvaluationRows":
        """Return the rows as prompts: they need no responses."""
        return replace(self, reading=replace(self.reading, prompts_suffice=True))

    def read(self, split: str, limit: int | None, on_bad_row: "OnBadRow") -> list[Any]:
        """Return the pairs of a split, the first ``limit`` of them; say which rows are left out.

        Raises:
            DataError: rows that cannot be used.
        """
        return self.read_with_report(split, limit, on_bad_row)[0]

    def read_with_report(
        self, split: str, limit: int | None, on_bad_row: "OnBadRow"
    ) -> "tuple[list[Any], DataReport]":
        """Return what ``read`` does, and the report of all rows of the split."""
        from tgdpo_core.data.formats import parse_rows
        from tgdpo_core.data.report import DataReport
        from tgdpo_core.data.sources import load_rows
        from tgdpo_core.data.text_rules import with_rules
        from tgdpo_core.errors import DataError

        report = DataReport(self.dataset)
        try:
            rows = load_rows(self.dataset, split=split, plugins=self.plugins)
            pairs = parse_rows(rows, report, self.reading)
            report.raise_if_unusable(on_bad_row, "--on-bad-row skip")
        except DataError as error:
            raise DataError(_as_said_here(str(error))) from error
        for kind, count in sorted(report.counts.items()):
            if kind not in report.problem_kinds:
                echo(f"{self.dataset}: {kind}: {count} of {report.num_rows} rows", err=True)
        if report.problems:
            left_out = f"{len(report.problems)} of {report.num_rows} rows left out"
            listed = _as_said_here(report.listed_problems())
            echo(f"{self.dataset}: {left_out}:\n{listed}", err=True)
        return [with_rules(pair, self.rules) for pair in pairs[:limit]], report


def _as_said_here(text: str) -> str:
    """Return a text that names settings of a recipe with the options of these commands."""
    for recipe, here in _HERE.items():
        text = text.replace(recipe, here)
    return text


def evaluation_rows(
    dataset: str,
    plugins: "PluginManager",
    *,
    columns: Sequence[str],
    row_format: Any,
    template_kwargs: Sequence[str],
    special_tokens: Any,
) -> EvaluationRows:
    """Return the rows that the options of a command mean.

    Raises:
        UsageError: of click: an option that cannot be meant.
    """
    from tgdpo_core.data.columns import RowReading
    from tgdpo_core.data.text_rules import TextRules
    from tgdpo_core.preparation.plan import special_tokens_rule
    from tgdpo_core.recipe.loading import yaml_value

    given = (key_value(text, "--chat-template-kwarg") for text in template_kwargs)
    variables = {key: yaml_value(value, f"--chat-template-kwarg {key}") for key, value in given}
    mapped = _columns(columns)
    return EvaluationRows(
        dataset,
        plugins,
        RowReading(row_format, mapped),
        TextRules(variables, special_tokens_rule(special_tokens, dataset, plugins)),
        {
            "columns": mapped,
            "format": row_format,
            "chat_template_kwargs": {key: str(value) for key, value in variables.items()},
            "special_tokens": special_tokens,
        },
    )


def rows_of(session: "Session", values: Mapping[str, Any], dataset: str) -> EvaluationRows:
    """Return the rows that the parameters of a command mean."""
    return evaluation_rows(
        dataset,
        session.plugins,
        columns=values["columns"],
        row_format=values["row_format"],
        template_kwargs=values["template_kwargs"],
        special_tokens=values["special_tokens"],
    )


def _columns(texts: Sequence[str]) -> dict[str, str | None]:
    """Return the map of columns; ``null`` (of YAML) is no column."""
    from tgdpo_core.recipe.columns import check_columns

    found: dict[str, str | None] = {}
    for text in texts:
        name, column = key_value(text, "--columns")
        if name in found:
            raise click.UsageError(f"--columns {text}: '{name}' was given before.")
        found[name] = None if column.strip() in ("null", "~", "") else column.strip()
    try:
        check_columns(found)
    except ValueError as error:
        raise click.UsageError(f"--columns: {error}.") from error
    return found
