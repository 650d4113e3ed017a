"""How HTML pages are made from templates: everything from data escaped, nothing hidden."""

from typing import Any

import jinja2
from markupsafe import Markup

from tgdpo_core.reports.visible import escaped


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
    )


def _finalize(value: Any) -> Any:
    """Make what cannot be seen visible in every value that a template writes.

    Bidirectional marks would reorder the page around them; a lone surrogate is not UTF-8. Markup
    is what the template's own macros wrote; the values within came through here already.
    """
    is_data = isinstance(value, str) and not isinstance(value, Markup)
    return escaped(value) if is_data else value
