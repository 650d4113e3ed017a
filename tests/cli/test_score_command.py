"""`tgdpo score`: where it runs."""

import pytest
from click.testing import CliRunner

from tgdpo_cli.main import cli


@pytest.mark.parametrize(
    "option", ["--address", "--num-actors", "--cpus-per-actor", "--gpus-per-actor"]
)
def test_options_of_ray_are_refused_without_it(option: str) -> None:
    done = CliRunner().invoke(cli, ["score", "--dataset", "playground", option, "1"])
    assert done.exit_code == 2
    assert f"{option} goes with --executor ray." in done.output
