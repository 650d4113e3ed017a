"""What a recipe names, found and checked, without loading a model or torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.duplicates import count_duplicates, count_overlap
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.sources import default_split, load_rows
from tgdpo_core.data.splits import is_part
from tgdpo_core.data.text_rules import TextRules, with_rules
from tgdpo_core.errors import RecipeError
from tgdpo_core.models.paths import resolve_model_path
from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.rewards import SpecialTokensInText
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.recipe.optional_packages import require_packages
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.scoring.sources import (
    RewardSource,
    resolve_shaping,
    source_of_entry,
    validate_source,
)


@dataclass(frozen=True)
class ParsedData:
    """The pairs of one data set with what was found wrong."""

    pairs: Sequence[PreferencePair]
    report: DataReport


@dataclass(frozen=True)
class Plan:
    """A recipe with everything it names found.

    Attributes:
        recipe: the checked recipe.
        plugins: where names were found.
        model: folder or Hub id of the policy.
        train: training pairs.
        evaluation: evaluation pairs, or None.
        sources: reward sources.
        shaping: the shaping with its name.
        judge: of answers during training, or None.
    """

    recipe: Recipe
    plugins: PluginManager
    model: str
    train: ParsedData
    evaluation: ParsedData | None
    sources: Sequence[RewardSource]
    shaping: tuple[str, Shaping]
    judge: Judge | None


def make_plan(recipe: Recipe, plugins: PluginManager) -> Plan:
    """Return the plan of a recipe.

    Raises:
        TgdpoError: something it names does not exist, or a row cannot be used.
    """
    _check_swap(recipe)
    require_packages(recipe.training, lora=bool(recipe.model.lora))
    model = policy_name(recipe, plugins)
    if recipe.reference.name_or_path:
        resolve_model_path(recipe.reference.name_or_path)
    sources = [source_of_entry(entry.model_dump(), plugins) for entry in recipe.reward]
    shaping = resolve_shaping(recipe.shaping.name, plugins, recipe.shaping.args)
    data = recipe.data
    train = _parse(data.path, data.split, recipe, plugins)
    train.report.counts.update(count_duplicates(train.pairs))
    evaluation = None
    if data.eval_path:
        evaluation = _parse(data.eval_path, _eval_split(recipe, plugins), recipe, plugins)
        evaluation.report.counts.update(count_overlap(evaluation.pairs, train.pairs))
    for source in sources:
        validate_source(source, [*train.pairs, *(evaluation.pairs if evaluation else ())])
    judge = _judge(recipe, plugins) if recipe.judging else None
    return Plan(recipe, plugins, model, train, evaluation, sources, shaping, judge)


def policy_name(recipe: Recipe, plugins: PluginManager) -> str:
    """Return the folder or Hub id of the policy; a registered data set's name is its model.

    Raises:
        RecipeError: none is given and the data set brings none.
    """
    bundled = registered_model(recipe.model.name_or_path or recipe.data.path, plugins)
    if bundled:
        return bundled
    if recipe.model.name_or_path is None:
        raise RecipeError(
            "model.name_or_path: required (give --model): the data set brings no model of its own."
        )
    return str(resolve_model_path(recipe.model.name_or_path))


def registered_model(name: str, plugins: PluginManager) -> str | None:
    """Return the folder of the model that comes with a registered data set, if it is one."""
    if not plugins.has("dataset", name):
        return None
    bundled: str | None = plugins.find("dataset", name).factory.model
    return bundled


def special_tokens_rule(
    rule: SpecialTokensInText, path: str, plugins: PluginManager
) -> SpecialTokensInText:
    """Return the rule for special tokens in the rows of a data set.

    A data set that brings its own model is written for that model's tokens: they are kept.
    """
    return "keep" if rule == "auto" and registered_model(path, plugins) else rule


def _check_swap(recipe: Recipe) -> None:
    """Refuse swapped responses where columns or labels would still mean the others."""
    is_sft = recipe.loss.name == "sft" and all(e.plugin == "none" for e in recipe.reward)
    if recipe.data.swap and not is_sft:
        raise RecipeError(
            "data.swap: only for fine-tuning on the rejected responses, that is with loss.name sft "
            f"and the reward none; got loss {recipe.loss.name}, reward "
            f"{', '.join(entry.plugin for entry in recipe.reward)}."
        )


def _judge(recipe: Recipe, plugins: PluginManager) -> Judge:
    if not recipe.data.eval_path:
        raise RecipeError("judging: needs evaluation prompts: give data.eval_path.")
    assert recipe.judging
    judge: Judge = plugins.find("judge", recipe.judging.judge).create(recipe.judging.args)
    return judge


def _eval_split(recipe: Recipe, plugins: PluginManager) -> str:
    """Return the split of the evaluation pairs."""
    data = recipe.data
    assert data.eval_path
    if data.eval_split:
        return data.eval_split
    if plugins.has("dataset", data.eval_path):
        return "test"
    split = default_split(data.eval_path, plugins, data.split)
    if is_part(split):
        raise RecipeError(
            f"data.eval_split: required, since data.split is a part ({data.split}) and "
            f"{data.eval_path} has splits."
        )
    return split


def _parse(path: str, split: str, recipe: Recipe, plugins: PluginManager) -> ParsedData:
    data = recipe.data
    report = DataReport(path)
    # Configuration and revision belong to one repository, not to another one's evaluation pairs.
    hub = {"name": data.name, "revision": data.revision} if path == data.path else {}
    rows = load_rows(path, split=split, plugins=plugins, **hub)
    pairs = parse_rows(rows, report, RowReading(data.format, data.columns))
    report.raise_if_unusable(data.on_bad_row)
    if data.swap:
        pairs = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in pairs]
    special = special_tokens_rule(data.special_tokens, path, plugins)
    rules = TextRules(data.chat_template_kwargs, special, data.lost_text)
    return ParsedData(with_rules(pairs, rules), report)
