"""What holds for plugins of every kind."""

import inspect
from typing import Any

from tgdpo_core.plugin_api.options import Options, option_fields
from tgdpo_core.testing.light_import import heavy_imports


def require(condition: bool, message: str) -> None:
    """Raise ``AssertionError`` with a message (also under ``python -O``) unless a condition holds.

    Raises:
        AssertionError: it does not hold.
    """
    __tracebackhide__ = True
    if not condition:
        raise AssertionError(message)


class PluginContract:
    """Base of the contracts; every method named ``test_...`` is one check.

    Attributes:
        plugin: the plugin under test, an instance; a pytest fixture may set it, too. Every check
            uses a new instance with the same options.
        module: the module that the entry point names, where the class is defined elsewhere.
    """

    plugin: Any
    module: str | None = None

    @property
    def plugin_class(self) -> type:
        """The class of ``plugin``; ``AssertionError`` where the test class has no instance."""
        found = getattr(self, "plugin", None)
        require(
            found is not None and not isinstance(found, type),
            f"{type(self).__name__} has no plugin to test, found {found}: write "
            "plugin = MyPlugin(...) in it, an instance.",
        )
        return type(found)

    def fresh(self) -> Any:
        """Return a new instance with the options of ``plugin``."""
        cls = self.plugin_class
        given = (field.name for field in option_fields(cls) if field.init)
        return cls(**{name: getattr(self.plugin, name) for name in given})

    @property
    def who(self) -> str:
        """How messages name the plugin."""
        return self.plugin_class.__name__

    def test_it_is_documented(self) -> None:
        """Its class has a docstring of its own, whose first line is shown in lists."""
        own = (vars(self.plugin_class).get("__doc__") or "").strip()
        # A dataclass without docstring gets its signature as one.
        require(
            bool(own) and not own.startswith(f"{self.who}("),
            f"{self.who} has no docstring. Write one: its first line is what 'tgdpo plugins list' "
            "shows.",
        )

    def test_its_options_have_help(self) -> None:
        """Every option says what it is."""
        silent = [
            field.name
            for field in option_fields(self.plugin_class)
            if not str(field.metadata.get("help", "")).strip()
        ]
        require(
            not silent,
            f"{self.who}: option without help: {', '.join(silent)}. Write "
            "name: type = option(default, help='what it is').",
        )

    def test_its_options_are_json(self) -> None:
        """Option values can be written to run.json and hashed for the store."""
        plugin = self.fresh()
        options = plugin.options() if isinstance(plugin, Options) else {}
        require_json(options, f"{self.who}: the options {options}")

    def test_its_module_loads_no_torch(self) -> None:
        """``tgdpo --help`` and ``tgdpo plugins`` stay fast with the plugin installed."""
        module = self.module or inspect.unwrap(self.plugin_class).__module__
        heavy = heavy_imports(module)
        require(
            not heavy,
            f"Importing {module} loads {' and '.join(heavy)}, and so would every tgdpo command. "
            "Import them inside the functions that use them.",
        )


def require_json(value: Any, what: str) -> None:
    """Raise ``AssertionError`` unless a value is made of what JSON has.

    Raises:
        AssertionError: it is not.
    """
    from tgdpo_core.store.folder import canonical_hash

    try:
        canonical_hash({"value": value})
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"{what} must be JSON values (text, finite numbers, booleans, None, lists, dicts with "
            f"text keys): {error}."
        ) from error
