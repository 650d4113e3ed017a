"""Secrets come from the environment alone and leave by no door."""

import copy
import json
import pickle
import traceback
from typing import Any

import pytest

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.options import Options, build, option
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.secret_values import redacted

CANARY = "sk-canary/81f3+5c"


class Paid(Options):
    """A plugin with a key that it must have, and one that it may have."""

    url: str = option("http://localhost", help="where")
    api_key: str = option(secret=True, env="PAID_KEY", help="key of the endpoint")
    proxy_key: str | None = option(None, secret=True, env="PAID_PROXY_KEY", help="of the proxy")


class Child(Paid):
    """Inherits the key."""

    more: int = option(1, help="another option")


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAID_KEY", f"{CANARY}\n")


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("cls", [Paid, Child])
def test_the_value_is_that_of_the_environment(cls: type[Paid]) -> None:
    assert cls().api_key == CANARY
    assert cls().proxy_key is None


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize(
    "seen",
    [
        repr,
        lambda plugin: json.dumps(plugin.options()),
        lambda plugin: json.dumps(plugin.options(stored_only=True)),
        lambda plugin: str(vars(plugin)),
        lambda plugin: str(pickle.dumps(plugin)),
        lambda plugin: str(vars(copy.deepcopy(plugin))),
    ],
)
def test_no_form_of_the_plugin_holds_it(seen: Any) -> None:
    plugin = Child()
    assert plugin.api_key == CANARY
    assert CANARY not in seen(plugin)


def test_a_required_one_is_missed_by_name_when_it_is_used() -> None:
    assert Paid().missing_secrets() == ["the environment variable PAID_KEY (key of the endpoint)"]
    with pytest.raises(PluginError, match=r"Paid needs the environment variable PAID_KEY"):
        _ = Paid().api_key


def test_a_given_one_is_refused_with_the_name_of_the_variable() -> None:
    with pytest.raises(PluginError, match=r"'api_key' is a secret.*Set the .*PAID_KEY") as refused:
        build(Paid, {"api_key": CANARY}, who="token reward 'paid'")
    assert CANARY not in str(refused.value)
    with pytest.raises(TypeError):
        Paid(api_key=CANARY)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="PAID_KEY"):
        Paid().api_key = CANARY


@pytest.mark.usefixtures("_key")
def test_one_inside_another_option_is_refused() -> None:
    with pytest.raises(PluginError, match=r"'url' holds the value of a secret") as refused:
        build(Paid, {"url": f"http://host/?key={CANARY}"}, who="token reward 'paid'")
    assert CANARY not in str(refused.value)


@pytest.mark.usefixtures("_key")
def test_an_error_that_quotes_it_is_shown_without() -> None:
    plugin = Paid()

    def ask() -> None:
        try:
            raise OSError(f"401 for Bearer {plugin.api_key}")
        except OSError as error:
            raise RuntimeError("refused") from error

    with pytest.raises(PluginError) as raised:
        call_plugin("token reward 'paid'", "row 1", ask)
    shown = "".join(traceback.format_exception(raised.value))
    assert "refused" in shown
    assert CANARY not in shown


@pytest.mark.usefixtures("_key")
def test_its_written_forms_are_known_too() -> None:
    assert Paid().api_key == CANARY
    for text in (CANARY, "sk-canary%2F81f3%2B5c"):
        assert redacted(f"a {text} b") == "a <PAID_KEY> b"


@pytest.mark.parametrize(
    "arguments",
    [{"secret": True}, {"env": "X"}, {"secret": True, "env": "X", "default": "sk-live"}],
)
def test_a_secret_without_variable_or_with_a_value_is_no_option(arguments: Any) -> None:
    with pytest.raises(TypeError, match="secret"):
        option(help="a key", **arguments)
