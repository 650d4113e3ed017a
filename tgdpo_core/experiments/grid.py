"""The file of an ablation: what its cells share, and the variants that are compared."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from tgdpo_core.errors import RecipeError
from tgdpo_core.recipe.loading import validated
from tgdpo_core.recipe.schema import RewardEntry, ShapingSection, TransformEntry
from tgdpo_core.recipe.section import Section

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _named(key: str) -> Any:
    """Return the validator that reads ``name`` as short for ``{key: name}``."""

    def read(value: Any) -> Any:
        return [{key: item} if isinstance(item, str) else item for item in _listed(value)]

    return read


def _chains(value: Any) -> Any:
    """Read one chain of transforms, or a list of chains, as a list of chains."""
    items = _listed(value)
    chains = items if items and all(isinstance(item, list) for item in items) else [items]
    return [_named("name")(chain) for chain in chains]


def _seeds(value: Any) -> Any:
    """Read a number of seeds as the first so many."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return list(range(value)) if is_count else value


def _each_once(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"a seed stands twice in {seeds}")
    return seeds


Numbers = Annotated[list[float], BeforeValidator(_listed), Field(min_length=1)]
Seeds = Annotated[
    list[int], BeforeValidator(_seeds), Field(min_length=1), AfterValidator(_each_once)
]
Rewards = Annotated[list[RewardEntry], BeforeValidator(_named("plugin")), Field(min_length=1)]
Transforms = Annotated[list[TransformEntry], BeforeValidator(_named("name"))]
Chains = Annotated[list[list[TransformEntry]], BeforeValidator(_chains), Field(min_length=1)]
Shapings = Annotated[list[ShapingSection], BeforeValidator(_named("name")), Field(min_length=1)]


class Variant(Section):
    """One thing to compare; keys that take several values make a cell of each combination."""

    reward: Rewards = Field(
        default_factory=lambda: [RewardEntry(plugin="none")],
        description="a token reward, or several that are summed",
    )
    transforms: Chains = Field(
        default_factory=lambda: [list[TransformEntry]()],
        description="a chain of transforms, or several chains",
    )
    shaping: Shapings | None = Field(None, description="unset: the recipe's")
    alpha: Numbers | None = Field(None, description="of the shaping; unset: the recipe's")
    beta: Numbers | None = Field(None, description="of the loss; unset: the recipe's")
    reward_beta: Numbers | None = Field(None, description="option beta of the token reward")
    set: dict[str, Any] = Field(default_factory=dict, description="dotted recipe keys")
    vary: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default_factory=dict, description="dotted recipe keys, each with several values"
    )
    controls: Transforms = Field(
        default_factory=list,
        description="transforms, such as permute: each makes every cell once more, with it at the "
        "end of the chain",
    )


class Quick(Section):
    """What ``--quick`` changes."""

    seeds: Seeds = Field(default_factory=lambda: [0])
    set: dict[str, Any] = Field(default_factory=dict, description="dotted recipe keys")
    variants: list[Name] | None = Field(None, description="those that are kept; null: all")


class Grid(Section):
    """An ablation.

    In every text of the recipe ``{seed}`` stands for the seed, ``{run:CELL}`` for the run folder of
    another cell of the same seed, and ``{prepared:NAME}`` for what ``prepare`` made. In the
    commands of ``prepare`` ``{recipe:KEY}`` is what all cells have at a dotted key.
    """

    recipe: dict[str, Any] = Field(description="what all cells share: sections of a recipe")
    set: dict[str, Any] = Field(default_factory=dict, description="dotted keys over the recipe")
    seeds: Seeds = Field(default_factory=lambda: [0], description="a number of seeds, or a list")
    prepare: dict[Name, str] = Field(
        default_factory=dict, description="tgdpo commands that run first; --output DIR is added"
    )
    variants: dict[Name, Variant] = Field(min_length=1)
    quick: Quick | None = Field(None, description="the form of about a minute")


def read_grid(content: Mapping[str, Any], source: str) -> Grid:
    """Return the checked grid.

    Args:
        content: what an ablation file holds, its ``recipe`` already a mapping.
        source: the file, for messages.

    Raises:
        RecipeError: unknown keys (with suggestions), missing ones, values that do not fit.
    """
    return validated(Grid, content, f"The ablation from {source}")


def quick_form(grid: Grid) -> Grid:
    """Return the grid as ``--quick`` runs it.

    Raises:
        RecipeError: the ablation has no quick form, or one that names an unknown variant.
    """
    if grid.quick is None:
        raise RecipeError("This ablation has no quick form: give it a section quick, or --seeds.")
    kept = grid.quick.variants if grid.quick.variants is not None else list(grid.variants)
    unknown = [name for name in kept if name not in grid.variants]
    if unknown:
        raise RecipeError(
            f"quick.variants: there is no variant '{unknown[0]}'. There are: "
            f"{', '.join(grid.variants)}."
        )
    return grid.model_copy(
        update={
            "seeds": grid.quick.seeds,
            "set": {**grid.set, **grid.quick.set},
            "variants": {name: grid.variants[name] for name in kept},
            "quick": None,
        }
    )
