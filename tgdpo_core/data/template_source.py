"""What can be known of a chat template by reading it."""

import math
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox


def date_formats(tree: jinja2.nodes.Template, name: str) -> set[str]:
    """Return the formats in which a template writes the date, through the function ``name``."""
    calls = (c for c in tree.find_all(jinja2.nodes.Call) if isinstance(c.node, jinja2.nodes.Name))
    formats = [call.args[0] for call in calls if call.node.name == name and call.args]  # type: ignore[attr-defined]
    return {f.value for f in formats if isinstance(f, jinja2.nodes.Const)}


def holds_absurd_number(tree: jinja2.nodes.Template, limit: int) -> bool:
    """Return whether a template multiplies by a constant above a limit.

    jinja2 computes with constants while it compiles, where neither time nor memory is bounded.
    """
    for node in tree.find_all((jinja2.nodes.Mul, jinja2.nodes.Pow)):
        sides = [
            side.value for side in (node.left, node.right) if isinstance(side, jinja2.nodes.Const)
        ]
        numbers = [abs(value) for value in sides if isinstance(value, int | float)]
        if any(number > limit for number in numbers):
            return True
        if isinstance(node, jinja2.nodes.Pow) and len(numbers) == 2:
            base, exponent = numbers
            if base > 1 and exponent * math.log10(base) > math.log10(limit):
                return True
    return False


def analyser() -> jinja2.Environment:
    """Return an environment that reads chat templates as transformers does."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.globals["namespace"] = jinja2.utils.Namespace
    return environment


class _GenerationTag(jinja2.ext.Extension):
    """The tag with which some templates mark what the model writes."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Any) -> list[jinja2.nodes.Node]:
        """Return what the tag encloses."""
        next(parser.stream)
        body: list[jinja2.nodes.Node] = parser.parse_statements(
            ["name:endgeneration"], drop_needle=True
        )
        return body
