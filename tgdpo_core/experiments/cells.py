"""From a grid to its cells: every combination, and the plain DPO that each is compared with."""

import copy
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tgdpo_core.errors import RecipeError
from tgdpo_core.experiments.grid import Grid, Variant
from tgdpo_core.recipe.loading import put_value, resolve_recipe
from tgdpo_core.recipe.schema import Recipe, ShapingSection, TransformEntry

_NO_WEIGHTS = {"reward": [{"plugin": "none"}], "shaping": {"name": "linear", "args": {}}}
_BASELINE = "dpo"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._,=+-]+")


@dataclass(frozen=True)
class GridCell:
    """A cell before it has a seed.

    Attributes:
        name: unique in the grid.
        variant: the variant it belongs to.
        content: its recipe, placeholders unfilled, without seed and output folder.
        changes: recipe keys that its variant sets, for the name of its plain DPO.
        control: whether it is there for comparison only.
        baseline: name of the cell that differences are taken to.
    """

    name: str
    variant: str
    content: Mapping[str, Any]
    changes: Mapping[str, Any] = field(default_factory=dict)
    control: bool = False
    baseline: str | None = None

    @property
    def folder(self) -> str:
        """Folder of its runs, relative to the ablation folder."""
        return f"cells/{_NOT_IN_NAMES.sub('_', self.name)}"

    @property
    def recipe(self) -> Recipe:
        """The checked recipe, placeholders unfilled."""
        source = f"the cell {self.name}"
        return resolve_recipe(self.content, settings={"output_dir": "-"}, source=source)

    @property
    def is_plain(self) -> bool:
        """Whether all its weights are 1."""
        return all(self.content[key] == value for key, value in _NO_WEIGHTS.items())

    @property
    def settings(self) -> dict[str, Any]:
        """What varies between cells, or is central, as tables and plots show it."""
        recipe = self.recipe
        first = recipe.reward[0]
        options = {key: value for key, value in recipe.shaping.args.items() if key != "alpha"}
        shown: dict[str, Any] = {
            "reward": " + ".join(entry.plugin for entry in recipe.reward),
            "transforms": ", ".join(map(_text, first.transforms)),
            "shaping": _with_options(recipe.shaping.name, options),
            "alpha": recipe.shaping.args.get("alpha"),
            "beta": recipe.loss.beta,
            "reward_beta": first.args.get("beta"),
            **{key: value for key, value in self.changes.items() if key != "loss.beta"},
        }
        if self.is_plain:
            shown |= {"shaping": None, "alpha": None}
        return {key: value for key, value in shown.items() if value not in (None, "")}


def grid_cells(grid: Grid) -> list[GridCell]:
    """Return the cells of a grid, the plain DPO (alpha = 0) of each among them.

    The baseline of a cell is plain DPO with everything else equal; that of plain DPO is plain DPO
    as the recipe has it. What is missing of these is added.

    Raises:
        RecipeError: a cell's recipe is not valid, or two cells have one name.
    """
    cells = [
        cell for name, variant in grid.variants.items() for cell in _of_variant(grid, name, variant)
    ]
    central = _plain(GridCell("", "", base_content(grid)))
    by_recipe = {_identity(cell): cell.name for cell in cells}
    free = "plain-dpo" if _BASELINE in grid.variants else _BASELINE
    dpo = next((cell.variant for cell in cells if cell.is_plain and not cell.changes), free)
    added: list[GridCell] = []

    def baseline_of(cell: GridCell) -> str:
        """Return the name of a cell's baseline, adding that baseline if there is none yet."""
        plain = central if cell.is_plain else _plain(cell)
        key = _identity(plain)
        if key not in by_recipe:
            name = ",".join([dpo, *_differences(plain, central)])
            added.append(replace(plain, name=name, variant=dpo, control=True))
            by_recipe[key] = name
        return by_recipe[key]

    main = baseline_of(replace(central, name=dpo))
    named = [replace(cell, baseline=baseline_of(cell)) for cell in cells]
    plain_first = [replace(cell, baseline=main) for cell in added]
    return _all_different([*plain_first, *named])


def _of_variant(grid: Grid, name: str, variant: Variant) -> Iterator[GridCell]:
    """Yield the cells of a variant, each followed by its controls."""
    is_plain = variant.shaping is None and all(e.plugin == "none" for e in variant.reward)
    for point in _points(variant):
        labels = _labels(variant, point)
        changes = {**variant.set, **{key: point[key] for key in variant.vary}}
        cell = GridCell(",".join([name, *labels]), name, _content(grid, variant, point), changes)
        if is_plain:
            cell = _plain(cell)
        elif point.get("alpha") == 0 and not _has_other_weights(cell):
            continue  # plain DPO, which is there anyway
        yield cell
        for control in variant.controls:
            controlled = f"{name}+{_with_options(control.name, control.options)}"
            yield GridCell(
                ",".join([controlled, *labels]),
                controlled,
                _content(grid, variant, point, control),
                changes,
                control=True,
            )


def _points(variant: Variant) -> Iterator[dict[str, Any]]:
    """Yield the combinations of a variant's values, one dict each."""
    axes: dict[str, Sequence[Any]] = {"transforms": variant.transforms, **variant.vary}
    for key in ("shaping", "alpha", "beta", "reward_beta"):
        if (values := getattr(variant, key)) is not None:
            axes[key] = values
    for combination in itertools.product(*axes.values()):
        yield dict(zip(axes, combination, strict=True))


def _labels(variant: Variant, point: Mapping[str, Any]) -> list[str]:
    """Return ``key=value`` for what has several values in the variant."""
    labels = []
    for key, value in point.items():
        several = variant.vary.get(key) or getattr(variant, key, None) or ()
        if len(several) > 1:
            labels.append(f"{key.rpartition('.')[2]}={_text(value)}")
    return labels


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(_text(item) for item in value) or "none"
    if isinstance(value, TransformEntry):
        return _with_options(value.name, value.options)
    if isinstance(value, ShapingSection):
        return _with_options(value.name, value.args)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _with_options(name: str, options: Mapping[str, Any]) -> str:
    return "+".join([name, *(f"{key}={_text(value)}" for key, value in options.items())])


def base_content(grid: Grid) -> dict[str, Any]:
    """Return the unchecked recipe that all cells share."""
    content = copy.deepcopy(grid.recipe)
    for key, value in grid.set.items():
        put_value(content, key, copy.deepcopy(value))
    return content


def _content(
    grid: Grid,
    variant: Variant,
    point: Mapping[str, Any],
    control: TransformEntry | None = None,
) -> dict[str, Any]:
    """Return the recipe of one combination."""
    content = base_content(grid)
    for key, value in variant.set.items():
        put_value(content, key, copy.deepcopy(value))
    chain = [*point["transforms"], *([control] if control else [])]
    content["reward"] = [
        {**entry, "transforms": [*entry["transforms"], *(t.model_dump() for t in chain)]}
        for entry in (reward.model_dump() for reward in variant.reward)
    ]
    if "shaping" in point:
        content["shaping"] = point["shaping"].model_dump()
    for key, place in _PLACES.items():
        if key in point:
            put_value(content, place, point[key])
    for key in variant.vary:
        put_value(content, key, copy.deepcopy(point[key]))
    content["reward"] = _with_values(content["reward"], point)
    return content


def _with_values(value: Any, point: Mapping[str, Any]) -> Any:
    """Return a nested value, in its texts ``{beta}`` and the like filled in as names have them."""
    if isinstance(value, str):
        for key in _PLACES.keys() & point.keys():
            value = value.replace(f"{{{key}}}", _text(point[key]))
        return value
    if isinstance(value, Mapping):
        return {key: _with_values(item, point) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_values(item, point) for item in value]
    return value


_PLACES = {
    "alpha": "shaping.args.alpha",
    "beta": "loss.beta",
    "reward_beta": "reward.0.args.beta",
}


def _has_other_weights(cell: GridCell) -> bool:
    """Return whether an option beside alpha moves weights away from 1."""
    args = cell.recipe.shaping.args
    return any(args.get(name) for name in ("shift", "alpha_chosen", "alpha_rejected"))


def _plain(cell: GridCell) -> GridCell:
    """Return the cell with all weights 1."""
    return replace(cell, content={**cell.content, **copy.deepcopy(_NO_WEIGHTS)})


def _identity(cell: GridCell) -> str:
    """Return what two cells that do the same have in common."""
    return json.dumps(cell.recipe.model_dump(mode="json"), sort_keys=True)


def _differences(cell: GridCell, central: GridCell) -> list[str]:
    """Return ``key=value`` for what a plain DPO does not share with the central one."""
    beta = cell.recipe.loss.beta
    labels = [] if beta == central.recipe.loss.beta else [f"beta={beta:g}"]
    changes = {key: value for key, value in cell.changes.items() if key != "loss.beta"}
    return labels + [f"{key.rpartition('.')[2]}={_text(v)}" for key, v in changes.items()]


def _all_different(cells: Sequence[GridCell]) -> list[GridCell]:
    """Return the cells; no two may do the same, or share a folder."""
    known: dict[str, str] = {}
    for cell in cells:
        for key in (cell.folder, _identity(cell)):
            if key in known:
                raise RecipeError(
                    f"The cells '{known[key]}' and '{cell.name}' of the ablation are the same. "
                    "Drop one of them, or give their variants names that differ in more than signs."
                )
            known[key] = cell.name
    return list(cells)
