"""The packages in examples/ keep the contract of their kind, as their own tests say."""

import importlib
import re
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.testing import TokenRewardContract
from tgdpo_core.testing.checking import outcomes

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [
    pytest.mark.checkout,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs the source checkout"),
]


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that imports the module of an example package, as if it were installed."""

    def load(package: str, module: str) -> Any:
        monkeypatch.syspath_prepend(str(EXAMPLES / package / "src"))
        return importlib.import_module(module)

    return load


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the reference server, in a thread."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    handler = importlib.import_module("reward_server").Handler
    monkeypatch.setattr(handler, "log_message", lambda *_: None)
    served = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def failures(plugin: Any) -> dict[str, str]:
    contract = TokenRewardContract()
    contract.plugin = plugin
    # The rest is of the class: seen in a process of its own, and in the package's tests.
    names = [name for name in vars(TokenRewardContract) if name.startswith("test_")]
    asked = {name.removeprefix("test_").replace("_", " ") for name in names}
    found = (each for each in outcomes(contract) if each.check in asked)
    return {each.check: each.failure for each in found if each.failure}


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        ("fitted_reward", "tgdpo_reward_rarity", "Rarity"),
        ("online_head", "tgdpo_reward_online_head", "OnlineHead"),
    ],
)
def test_a_package_keeps_its_contract(imported: Any, package: str, module: str, name: str) -> None:
    assert failures(getattr(imported(package, module), name)()) == {}


def test_the_remote_package_gets_values_from_the_reference_server(
    imported: Any, server: str
) -> None:
    found = imported("remote_reward", "tgdpo_reward_step_server")
    contract = TokenRewardContract()
    contract.plugin = found.StepServer(url=server)
    contract.test_it_gives_finite_values_one_per_response_token_or_spans()


def test_the_built_in_remote_reward_keeps_its_contract_with_the_reference_server(
    server: str,
) -> None:
    from tgdpo_plugins.token_rewards.remote.reward import Remote

    assert failures(Remote(url=server)) == {}


def test_the_reference_server_has_thirty_lines_at_most() -> None:
    assert len((EXAMPLES / "reward_server.py").read_text().splitlines()) <= 30


def test_every_package_names_its_module_and_is_described() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    for project in EXAMPLES.glob("*/pyproject.toml"):
        module = re.search(r'^\w[\w-]* = "(tgdpo_\w+)"$', project.read_text(), re.MULTILINE)
        assert module, project
        assert (project.parent / "src" / module[1] / "__init__.py").is_file()
        assert f"`{project.parent.name}/`" in listed
