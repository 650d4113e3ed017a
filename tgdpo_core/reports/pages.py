"""How HTML pages are made from templates: everything from data escaped, nothing hidden."""

from typing import Any

import jinja2
from jinja2.bccache import Bucket, BytecodeCache
from markupsafe import Markup

from tgdpo_core.reports.visible import escaped


class _Compiled(BytecodeCache):
    """Templates compiled once in a process: every run of an ablation writes pages."""

    def __init__(self) -> None:
        self._by_template: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._by_template.get(bucket.key):
            bucket.bytecode_from_string(code)  # left alone if it is of another source

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._by_template[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


def page_environment(package: str) -> jinja2.Environment:
    """Return the environment of the templates in ``package/templates``, and of the shared ones."""
    folders = dict.fromkeys((package, "tgdpo_core.reports"))
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(each) for each in folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )


def _finalize(value: Any) -> Any:
    """Make what cannot be seen visible in every value that a template writes.

    Bidirectional marks would reorder the page around them; a lone surrogate is not UTF-8. Markup
    is what the template's own macros wrote; the values within came through here already.
    """
    is_data = isinstance(value, str) and not isinstance(value, Markup)
    return escaped(value) if is_data else value
