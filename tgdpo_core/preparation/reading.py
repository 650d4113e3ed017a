"""Step 2, Plan -> PairTable: rows are read and checked, usable ones become pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.duplicates import count_overlap
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.opening import open_rows
from tgdpo_core.data.pair_table import PairRules, PairTable, read_pairs
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.sources import default_split, load_rows
from tgdpo_core.data.splits import is_part
from tgdpo_core.data.text_rules import TextRules, with_rules
from tgdpo_core.errors import RecipeError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import Plan, special_tokens_rule
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.scoring.sources import validate_source


@dataclass(frozen=True)
class Pairs:
    """Training pairs, and evaluation pairs if there are any.

    Attributes:
        train: what is trained on.
        evaluation: what is evaluated on, or None.
        judged: whose prompts are answered where a judge is asked; their first ones, as many as the
            recipe says.
    """

    train: PairTable
    evaluation: PairTable | None
    judged: Sequence[PreferencePair] = ()


def read(plan: Plan) -> Pairs:
    """Return the pairs of a plan.

    Raises:
        DataError: a file that cannot be read, or rows that cannot be used.
    """
    data = plan.recipe.data
    train = _table(data.path, data.split, plan)
    evaluation = None
    if data.eval_path:
        evaluation = _table(data.eval_path, _eval_split(plan.recipe, plan.plugins), plan)
        evaluation.report.counts.update(count_overlap(evaluation.hashes, train.hashes))
    for table in (train, evaluation):
        for source in plan.sources:
            validate_source(source, table or ())
    return Pairs(train, evaluation, _judged(plan, evaluation))


def _judged(plan: Plan, evaluation: PairTable | None) -> Sequence[PreferencePair]:
    """Return the rows that are judged: prompts of their own, or the evaluation pairs."""
    section = plan.recipe.judging
    if section is None:
        return ()
    if section.prompts is None:
        return (evaluation or ())[: section.num_prompts]
    split = section.prompts_split or default_split(section.prompts, plan.plugins, "test")
    report = DataReport(section.prompts)
    rows = load_rows(section.prompts, split=split, plugins=plan.plugins)
    prompts = parse_rows(rows, report, RowReading(prompts_suffice=True))
    report.raise_if_unusable("error", skip=None)
    data = plan.recipe.data
    special = special_tokens_rule(data.special_tokens, section.prompts, plan.plugins)
    rules = TextRules(data.chat_template_kwargs, special, data.lost_text)
    return [with_rules(prompt, rules) for prompt in prompts[: section.num_prompts]]


def _table(path: str, split: str, plan: Plan) -> PairTable:
    data = plan.recipe.data
    # Configuration and revision belong to one repository, not to another one's evaluation pairs.
    hub: dict[str, Any] = (
        {"name": data.name, "revision": data.revision} if path == data.path else {}
    )
    rows = open_rows(path, split=split, plugins=plan.plugins, store=plan.store, **hub)
    special = special_tokens_rule(data.special_tokens, path, plan.plugins)
    rules = PairRules(
        RowReading(data.format, data.columns),
        TextRules(data.chat_template_kwargs, special, data.lost_text, data.add_eos),
        data.swap,
    )
    table = read_pairs(rows, rules, plan.store)
    table.report.raise_if_unusable(data.on_bad_row)
    return table


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
