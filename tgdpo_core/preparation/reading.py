"""Step 2, Plan -> PairTable: rows are read and checked, usable ones become pairs."""

from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.duplicates import count_overlap
from tgdpo_core.data.opening import open_rows
from tgdpo_core.data.pair_table import PairRules, PairTable, read_pairs
from tgdpo_core.data.sources import default_split
from tgdpo_core.data.splits import is_part
from tgdpo_core.data.text_rules import TextRules
from tgdpo_core.errors import RecipeError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import Plan, special_tokens_rule
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.scoring.sources import validate_source


@dataclass(frozen=True)
class Pairs:
    """Training pairs, and evaluation pairs if there are any."""

    train: PairTable
    evaluation: PairTable | None


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
    return Pairs(train, evaluation)


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
