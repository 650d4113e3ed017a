"""The model card of a run, and what else it leaves to read."""

import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgdpo_core.models.merging import ADAPTER_NOTE
from tgdpo_core.reports.visible import escaped
from tgdpo_core.training.base_model import BaseModel, base_model
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.judged_scores import JudgedScore, judged_scores
from tgdpo_core.training.record import versions

_SHOWN = ("loss", "rewards/accuracies", "rewards/margins", "weighted/margins", "eval_loss")
_NO_SCORES = ("judge/kl", "judge/finished", "judge/tokens")
_TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.j2"
_URL = "https://pypi.org/project/tgdpo/"


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of, beside the settings.

    Attributes:
        run: what run.json says about model, data, rewards, shaping and loss.
        metrics: last value of every logged metric.
        config: of the model; None where nobody knows.
        scores: what the judge said last, by metric: one value a prompt or pair.
        has_chat_template: of the tokenizer.
    """

    run: Mapping[str, Any]
    metrics: Mapping[str, float]
    config: Any = None
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    has_chat_template: bool = False


_NO_RECIPE = """\
# Settings of a run that was made in Python: the fields of its TGDPOConfig. Rows, model and token
# reward were given as objects, so this is no recipe, and `tgdpo train --config` cannot repeat it.
"""


def model_card(name: str, args: TGDPOConfig, facts: CardFacts) -> str:
    """Return the README.md of a run folder: metadata of the Hub, prose, tables and a snippet.

    Args:
        name: of the run.
        args: its settings.
        facts: what is known of it; what is not is left out or said to be unknown.
    """
    from huggingface_hub import ModelCard

    run = facts.run
    base = base_model(run.get("model", ""), facts.config)
    judged = judged_scores(facts.scores)
    sources = [source["name"] for source in run["reward_sources"]]
    is_plain = sources == ["none"]
    card = ModelCard.from_template(
        _metadata(name, facts, base, judged),
        template_path=str(_TEMPLATE),
        title=_text(name),
        intro=_intro(run, base, is_plain=is_plain),
        note=ADAPTER_NOTE if run.get("adapter") else "",
        folder=json.dumps(args.hub_model_id or "model"),
        folder_is="on the Hub" if args.hub_model_id else "beside this file, or where it was put",
        is_chat=facts.has_chat_template,
        method=_method(run, args.beta, is_plain=is_plain),
        settings={key: _text(str(value)) for key, value in _settings(run, args).items()},
        judged=judged,
        judged_by=_judged_by(run),
        metrics={key: facts.metrics[key] for key in _SHOWN if key in facts.metrics},
        settings_file="config.yaml" if run.get("dataset") else "settings.yaml",
        versions=", ".join(f"{key} {value}" for key, value in versions().items()),
    )
    return re.sub(r"\n{3,}", "\n\n", str(card)).rstrip() + "\n"


def _metadata(name: str, facts: CardFacts, base: BaseModel, judged: Sequence[JudgedScore]) -> Any:
    """Return what the Hub reads; it knows models and data by ids, folders mean nothing there."""
    from huggingface_hub import EvalResult, ModelCardData

    run = facts.run
    data = str(run.get("evaluation_dataset") or "held-out prompts")
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=data if data in run.get("hub_datasets", ()) else "custom",
            dataset_name=_line(data if data in run.get("hub_datasets", ()) else Path(data).name),
            metric_type=score.name.partition("/")[2],
            metric_name=f"{run.get('judge') or 'judge'}, mean of {score.n}",
            metric_value=round(score.mean, 6),
        )
        for score in judged
        if score.name not in _NO_SCORES
    ]
    return ModelCardData(
        library_name="peft" if run.get("adapter") else "transformers",
        pipeline_tag="text-generation",
        base_model=base.hub_id,
        datasets=list(run.get("hub_datasets", ())) or None,
        license=base.licence,
        tags=["tgdpo", "dpo", "preference-optimization", *(["lora"] if run.get("adapter") else ())],
        model_name=name,
        eval_results=results or None,
    )


def _intro(run: Mapping[str, Any], base: BaseModel, *, is_plain: bool) -> str:
    made = f" ({base.is_made})" if base.is_made else ""
    start = f"`{_code(base.name)}`{made}" if base.name else f"a model given in Python{made}"
    named = run.get("dataset")
    shown = str(named) if named in run.get("hub_datasets", ()) else _file_names(named)
    data = f"`{_code(shown)}`" if named else "rows given in Python"
    method = "DPO (all token weights equal)" if is_plain else "TGDPO, token-level reward guided DPO"
    version = versions().get("tgdpo", "")
    text = f"Trained with {method} by [tgdpo]({_URL}) {version} from {start} on {data} "
    text += f"({run['diagnostics']['num_pairs']} pairs)."
    if not base.hub_id and base.name:
        text += " The starting model was a folder: where it comes from is not known here."
    if base.licence:
        text += f" The licence is that of the starting model, `{_code(base.licence)}`."
    return text


def _file_names(path: Any) -> str:
    """Return the names of data files, without the folders of the machine they lay on."""
    paths = path if isinstance(path, list | tuple) else [path]
    return ", ".join(Path(str(one)).name for one in paths)


def _method(run: Mapping[str, Any], beta: float, *, is_plain: bool) -> str:
    loss = run.get("loss", {}).get("name", "sigmoid")
    text = f"Preference loss `{_code(loss)}` at beta {beta:g}"
    if is_plain:
        return f"{text}; every response token has weight 1."
    shaping = run["shaping"]
    parts = [f"{text}. The log-ratio of every response token is weighted by what a token reward r"]
    parts.append(f"says of it. Shaping `{_code(shaping['name'])}`: {_said(shaping)}")
    parts += [f"Token reward `{_code(s['name'])}`: {_said(s)}" for s in run["reward_sources"]]
    return "\n".join(parts)


def _said(plugin: Mapping[str, Any]) -> str:
    return _text(str(plugin.get("summary") or "its class says nothing of itself."))


def _settings(run: Mapping[str, Any], args: TGDPOConfig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, source in enumerate(run["reward_sources"]):
        key = "token reward" if len(run["reward_sources"]) == 1 else f"token reward {number + 1}"
        weight = source.get("weight", 1.0)
        factor = "" if weight == 1 else f"{weight:g} x "
        steps = [_options(t) for t in source.get("transforms", ())]
        found[key] = f"{factor}{source['name']} {_options(source.get('options', {}))}".strip()
        if steps:
            found[f"{key}, transforms"] = "; ".join(steps)
    batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    return found | {
        "shaping": f"{run['shaping']['name']} {_options(run['shaping']['options'])}".strip(),
        "loss": f"{run.get('loss', {}).get('name', args.loss_type)}, beta={args.beta:g}",
        "pairs a step": batch,
        "learning rate": args.learning_rate,
        "length": f"{args.num_train_epochs:g} epochs"
        if args.max_steps < 0
        else f"{args.max_steps} steps",
        "seed": args.seed,
    }


def _options(options: Mapping[str, Any]) -> str:
    """Return options as one line; of a path the last name, for the rest tells of a machine."""
    return ", ".join(
        f"{key}={_value(value)}" for key, value in options.items() if value is not None
    )


def _value(value: Any) -> str:
    if isinstance(value, str) and os.sep in value and Path(value).expanduser().exists():
        return Path(value).name
    return str(value)


def _judged_by(run: Mapping[str, Any]) -> str:
    judge = _code(str(run.get("judge") or "given in Python"))
    data = run.get("evaluation_dataset")
    on = f"`{_code(_file_names(data))}`" if data else "held-out prompts"
    return f"Judge `{judge}` on {on}, after the last epoch that was judged:"


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
