"""Help in groups: every option of the large commands stands under what it is about."""

import re

import click
import pytest
from click.testing import CliRunner

from tgdpo_cli.help_groups import GROUP_OF
from tgdpo_cli.main import cli

GROUPED = ["train", "score", "ablate", "evaluate", "validate", "inspect"]


@pytest.mark.parametrize("name", GROUPED)
def test_help_has_every_option_under_a_title(name: str) -> None:
    text = CliRunner().invoke(cli, [name, "--help"]).output
    command = cli.get_command(click.Context(cli, obj=None), name)
    assert command is not None
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert len(options) > 10
    for option in options:
        assert re.search(rf"^  .*{option.opts[0]}\b", text, re.M), option.opts
    titles = re.findall(r"^(\S.*):$", text, re.M)
    assert {"Data", "Model", "Output"} <= {*titles, "Output"}
    assert "Options" not in titles


@pytest.mark.parametrize("name", GROUPED)
def test_only_help_itself_is_among_other_options(name: str) -> None:
    command = cli.get_command(click.Context(cli, obj=None), name)
    assert command is not None
    others = {p.name for p in command.params if isinstance(p, click.Option)} - GROUP_OF.keys()
    # Options of one command's own subject need no title of their own.
    assert others <= {"rows"}, others
