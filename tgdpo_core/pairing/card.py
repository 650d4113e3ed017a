"""The data card of made pairs: the README.md that the Hub and people read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.pairing.making import OF_SIDES, MadePairs
from tgdpo_core.reports.visible import escaped

_TEMPLATE = """\
---
{{ metadata }}
---

# {{ name }}

Preference pairs made by [tgdpo](https://pypi.org/project/tgdpo/) {{ version }}: answers of models,
scored by a judge, put together by a rule. {{ licence }}

| setting | value |
|---|---|
{% for key, value in settings.items() -%}
| {{ key }} | {{ value }} |
{% endfor %}
## What was made and what was left out

{% for line in lines -%}
- {{ line }}
{% endfor %}
## Columns

`prompt`, `chosen` and `rejected` are what a model is trained on. For each of `chosen` and
`rejected`: `{{ columns }}` (as in `chosen_score`): the judge's score, the rank
among the judged answers to the prompt (1 is the best; equal scores share a rank), the model that
answered (`given ..`: the response of the row itself), the seed of the draw, the number of tokens
and whether the answer ended by itself. `prompt_id` is a hash of the prompt, `num_answers` how many
answers were judged. Other columns are those of the prompts' rows.

The texts were written by models: read them before you train on them, or publish them.
"""


@dataclass(frozen=True)
class CardFacts:
    """What a card says beside counts.

    Attributes:
        name: of the data set.
        license: as the Hub names it; None: not known.
        settings: how the pairs were made, text or JSON.
        file: name of the file with the rows.
        version: of tgdpo.
    """

    name: str
    license: str | None
    settings: Mapping[str, Any]
    file: str
    version: str


def data_card(facts: CardFacts, made: MadePairs, lines: Sequence[str]) -> str:
    """Return the text of README.md.

    Args:
        facts: see ``CardFacts``.
        made: the pairs.
        lines: sentences about what was left out.
    """
    import jinja2
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        license=facts.license or "unknown",
        tags=["tgdpo", "dpo", "preference-pairs", "synthetic"],
        size_categories=[_size(len(made.rows))],
        pretty_name=facts.name,
        configs=[
            {"config_name": "default", "data_files": [{"split": "train", "path": facts.file}]}
        ],
    )
    licence = (
        f"Licence: {facts.license}."
        if facts.license
        else "Licence: unknown. It follows from those of the prompts and of the models' answers."
    )
    return (
        jinja2.Environment(undefined=jinja2.StrictUndefined)
        .from_string(_TEMPLATE)
        .render(
            metadata=data.to_yaml(),
            name=_text(facts.name),
            version=facts.version,
            licence=_text(licence),
            settings={
                _text(key): _text(value if isinstance(value, str) else json.dumps(value))
                for key, value in facts.settings.items()
            },
            lines=[_text(line) for line in lines],
            columns="`, `".join(OF_SIDES),
        )
        + "\n"
    )


def _text(value: str) -> str:
    """Return text that opens no tag, no code and no table column."""
    line = escaped(" ".join(value.split()))
    for mark in "\\|<`":
        line = line.replace(mark, "\\" + mark)
    return line


def _size(number: int) -> str:
    """Return the size as the Hub has it."""
    sizes = [
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
    ]
    return next((name for limit, name in sizes if number < limit), "n>1M")
