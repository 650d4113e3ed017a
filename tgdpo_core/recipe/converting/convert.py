"""From a configuration to a recipe: which rule takes a key, and what is still missing."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from tgdpo_core.errors import RecipeError, did_you_mean
from tgdpo_core.recipe.converting.account import Account, Conversion, Rule
from tgdpo_core.recipe.converting.dataset_info import DataFolder
from tgdpo_core.recipe.converting.llama_factory import llama_factory_defaults, llama_factory_rules
from tgdpo_core.recipe.converting.training_keys import training_rule
from tgdpo_core.recipe.converting.trl import trl_defaults, trl_rules
from tgdpo_core.recipe.foreign import program_of
from tgdpo_core.recipe.loading import put_value, resolve_recipe

PROGRAMS = {"trl": "TRL", "llama-factory": "LLaMA-Factory"}
_ORDER = (
    *("model", "reference", "data", "reward", "shaping", "loss", "engine", "judging"),
    *("training", "output_dir"),
)
# What others look at comes first: a section, or what is trained on.
_FIRST = ("stage", "finetuning_type", "use_peft", "dataset", "dataset_name", "datasets")


def convert(
    content: Mapping[str, Any],
    *,
    program: str | None,
    data: DataFolder,
    settings: Mapping[str, Any],
    without: Collection[str] = (),
) -> Conversion:
    """Return the recipe of a configuration, with an account of every key.

    Args:
        content: of the file.
        program: ``trl`` or ``llama-factory``; None: told by its keys.
        data: where LLaMA-Factory's data sets are found.
        settings: dotted keys of the recipe that the user gives, over what was converted.
        without: keys to leave out although numbers may change.

    Raises:
        RecipeError: it is of no program that is known here; or a key's value does not fit.
    """
    program = program or program_of(content)
    if program not in PROGRAMS:
        raise RecipeError(
            "This is no configuration that is converted. Known: TRL (trl dpo --config) and "
            "LLaMA-Factory; --from says which, where its keys do not."
        )
    if missing := sorted(set(without) - set(content)):
        raise RecipeError(f"--without {missing[0]}: the file has no such key.")
    made = Conversion(PROGRAMS[program], content)
    defaults = trl_defaults(content) if program == "trl" else llama_factory_defaults(content)
    settled = {**defaults, **content}
    for key in sorted(settled, key=lambda name: name not in _FIRST):
        if key in without:
            note = "as asked: --without"
            made.accounts.append(Account(key, content[key], "left out", note=note))
        else:
            _account(made, program, key, settled[key], data)
    for place, value in settings.items():
        put_value(made.recipe, place, value)
    _check(made)
    made.recipe = {key: made.recipe[key] for key in _ORDER if key in made.recipe}
    return made


def _account(made: Conversion, program: str, key: str, value: Any, data: DataFolder) -> None:
    table = _TABLES[program](data)
    rule = table.get(key) or training_rule(key)
    if rule is None:
        near = did_you_mean(key, table).partition("Available:")[0].strip()
        made.refuse(key, f"no key of {made.program} that is known here. {near}".strip())
        return
    rule(made, key, value)


_TABLES: Mapping[str, Callable[[DataFolder], Mapping[str, Rule]]] = {
    "trl": lambda data: trl_rules(),
    "llama-factory": llama_factory_rules,
}


def _check(made: Conversion) -> None:
    """Refuse what does not make a valid recipe; what is only missing is said as such."""
    made.recipe.setdefault("reward", [{"plugin": "none"}])
    if made.refused:
        return
    try:
        resolve_recipe(made.recipe, source=f"a configuration of {made.program}")
    except RecipeError as error:
        made.accounts.append(Account("(the whole)", None, "refused", note=str(error)))
