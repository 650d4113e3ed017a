"""What can be seen of a plan's models without loading one, and without asking the Hub."""

from pathlib import Path

from tgdpo_core.errors import UsageError
from tgdpo_core.models.checks import missing_parts, require_language_model
from tgdpo_core.models.paths import locate, resolve_model_path
from tgdpo_core.preparation.plan import Plan
from tgdpo_core.preparation.problems import Problems


def check_model_files(plan: Plan) -> list[str]:
    """Return the models that only the Hub could have: nothing is known of them.

    Raises:
        UsageError: a folder lacks weights or a tokenizer, holds another kind of model, or is an
            adapter without its base.
    """
    unknown = []
    problems = Problems()
    for name in dict.fromkeys(filter(None, (plan.model, plan.recipe.reference.name_or_path))):
        with problems.collected():
            if isinstance(resolve_model_path(name), Path):
                _check_folder(name)
            else:
                unknown.append(name)
    problems.raise_all()
    return unknown


def _check_folder(name: str) -> None:
    source = locate(name)
    if source.root.folder is None:
        return  # an adapter on a model of the Hub
    require_language_model(source.root)
    lacks = list(dict.fromkeys([*missing_parts(source), *missing_parts(source.root)]))
    if lacks:
        raise UsageError(f"Model '{name}': its folder has no {' and no '.join(lacks)}.")
