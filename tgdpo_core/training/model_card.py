"""The model card of a run, and what else it leaves to read."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tgdpo_core.models.merging import ADAPTER_NOTE
from tgdpo_core.reports.visible import escaped
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.record import environment

_SHOWN = ("loss", "rewards/accuracies", "rewards/margins", "weighted/margins", "eval_loss")

_TEMPLATE = """\
---
{{ metadata }}
---

# {{ name }}

{% if sources == ["none"] %}Trained with DPO (all token weights equal){% else -%}
Trained with TGDPO, token-level reward guided DPO{% endif %} by
[tgdpo](https://pypi.org/project/tgdpo/) {{ version }} from
{{ "`%s`" | format(base_model) if base_model else "a model given in Python" }} on
{{ "`%s`" | format(dataset) if dataset else "rows given in Python" }} ({{ num_pairs }} pairs).

{% if note %}{{ note }}
{% endif %}| setting | value |
|---|---|
{% for key, value in settings.items() -%}
| {{ key }} | {{ value }} |
{% endfor %}
| last logged metric | value |
|---|---|
{% for key, value in metrics.items() -%}
| {{ key }} | {{ "%.4g" | format(value) }} |
{% endfor %}
Method: TGDPO, arXiv 2506.14574. The run folder holds the full settings
(`{{ "config.yaml" if dataset else "settings.yaml" }}`), versions and fingerprints (`run.json`)
and the metrics of every step (`logs/train.jsonl`).
"""


_NO_RECIPE = """\
# Settings of a run that was made in Python: the fields of its TGDPOConfig. Rows, model and token
# reward were given as objects, so this is no recipe, and `tgdpo train --config` cannot repeat it.
"""


def model_card(
    name: str, args: TGDPOConfig, facts: Mapping[str, Any], metrics: Mapping[str, float]
) -> str:
    """Return the README.md of a run folder.

    Args:
        name: of the run.
        args: its settings.
        facts: what run.json says about model, data, rewards and shaping.
        metrics: last value of every logged metric.
    """
    import jinja2
    from huggingface_hub import ModelCardData

    base_model = facts.get("model", "")
    is_local = bool(base_model) and Path(base_model).expanduser().exists()
    sources = [source["name"] for source in facts["reward_sources"]]
    data = ModelCardData(
        library_name="peft" if facts.get("adapter") else "transformers",
        # The Hub knows models by id; a local folder means nothing there.
        base_model=None if is_local or not base_model else base_model,
        tags=["tgdpo", "dpo", "preference-optimization"],
        model_name=name,
    )
    settings = {
        "token reward": ", ".join(sources),
        "shaping": json.dumps(facts["shaping"]),
        "loss": facts["loss"]["name"] if "loss" in facts else args.loss_type,
        "beta": args.beta,
        "learning rate": args.learning_rate,
        "epochs": args.num_train_epochs,
        "seed": args.seed,
    }
    environment_ = jinja2.Environment(undefined=jinja2.StrictUndefined)
    return (
        environment_.from_string(_TEMPLATE).render(
            metadata=data.to_yaml(),
            name=_text(name),
            version=environment()["versions"].get("tgdpo", ""),
            base_model=_code(Path(base_model).name if is_local else base_model),
            dataset=_code(facts.get("dataset", "")),
            num_pairs=facts["diagnostics"]["num_pairs"],
            sources=sources,
            note=ADAPTER_NOTE if facts.get("adapter") else "",
            settings={key: _text(str(value)) for key, value in settings.items()},
            metrics={key: metrics[key] for key in _SHOWN if key in metrics},
        )
        + "\n"
    )


def _code(text: str) -> str:
    """Return text that cannot leave a code span of Markdown."""
    return _line(text).replace("`", "'")


def _text(text: str) -> str:
    """Return text that is neither HTML nor Markdown, in a heading or a cell of a table."""
    return re.sub(r"([\\`*\[\]|])", r"\\\1", html.escape(_line(text), quote=False))


def _line(text: str) -> str:
    """Return text as one line, control characters as escapes."""
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def settings_yaml(args: TGDPOConfig) -> str:
    """Return the trainer's settings as YAML, tokens left out; it is no recipe, and says so."""
    import yaml

    values = json.loads(args.to_json_string())
    kept = {name: value for name, value in values.items() if not name.endswith("token")}
    return _NO_RECIPE + yaml.safe_dump(kept, sort_keys=False)


def last_metrics(log_history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the last value of every logged metric."""
    merged: dict[str, float] = {}
    for row in log_history:
        merged |= {name: value for name, value in row.items() if isinstance(value, int | float)}
    return merged
