"""A reward source of a run: a token reward, where it came from, its weight and its transforms."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError, PluginError, TgdpoError, did_you_mean
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.needs import KNOWN, of_policy, of_reference
from tgdpo_core.plugin_api.rewards import TokenReward
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.plugin_api.source_identity import source_of
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.scoring.calls import way_of
from tgdpo_core.scoring.origins import with_origin

_NEEDS = ("reference_logps", "reference_entropy", "reference_top:K", "models", "column:NAME")


@dataclass(frozen=True)
class RewardSource:
    """One term of the token reward: ``weight * transforms(scale * stored values)``.

    Attributes:
        reward: the plugin's instance.
        name: how it is chosen on the command line.
        origin: distribution and version, for messages.
        identity: what of its code decides the stored values (JSON).
        weight: factor in the sum of several sources.
        transforms: applied in order, with the names that run.json keeps their states under.
    """

    reward: TokenReward
    name: str
    origin: str
    identity: Mapping[str, Any]
    weight: float = 1.0
    transforms: Sequence[tuple[str, Transform]] = ()

    def __str__(self) -> str:
        """How messages name it."""
        return f"token reward '{self.name}' ({self.origin})"

    @property
    def is_dynamic(self) -> bool:
        """Whether it is scored at every step, by the policy as it is then."""
        return self.reward.dynamic

    @property
    def needs_reference(self) -> bool:
        """Whether examples must carry reference log-probs."""
        return "reference_logps" in self.reward.required()

    @property
    def reference_values(self) -> list[str]:
        """What it needs of the reference's whole distribution."""
        return of_reference(self.reward.required())

    @property
    def needs_models(self) -> bool:
        """Whether it loads causal language models, so that the dtype decides its values."""
        return "models" in self.reward.required()

    @property
    def is_stateful(self) -> bool:
        """Whether it learns while the policy is trained."""
        return type(self.reward).state_dict is not TokenReward.state_dict

    @property
    def is_fitted(self) -> bool:
        """Whether it is fitted to the training set before it scores."""
        return type(self.reward).prepare is not TokenReward.prepare

    def describe(self) -> dict[str, Any]:
        """Return JSON for run.json."""
        return {
            "name": self.name,
            "origin": self.origin,
            "identity": dict(self.identity),
            "options": self.reward.options(),
            "weight": self.weight,
            "dynamic": self.is_dynamic,
            "transforms": [{"name": n, **t.options()} for n, t in self.transforms],
        }

    @property
    def columns(self) -> list[str]:
        """The data-set columns it reads."""
        needs = self.reward.required()
        return [need.removeprefix("column:") for need in needs if need.startswith("column:")]

    def columns_of(self, pair: PreferencePair) -> dict[str, Any]:
        """Return the columns that it reads of a row; ``DataError`` for a row without one."""
        for name in self.columns:
            if name not in pair.columns:
                raise missing_column(str(self), pair, name)
        return {name: pair.columns[name] for name in self.columns}


def validate_source(source: RewardSource, pairs: Sequence[PreferencePair]) -> None:
    """Raise for what can be seen of a source before a model or torch is loaded.

    Args:
        source: the reward source.
        pairs: the rows it will score; every one must have the columns that it reads.

    Raises:
        DataError: a row lacks a column.
        PluginError: the plugin refuses its options, or fails.
    """
    for name in source.columns:
        lacking = next((pair for pair in pairs if name not in pair.columns), None)
        if lacking:
            raise missing_column(str(source), lacking, name)
    validate_options(str(source), source.reward.validate)


def validate_options(who: str, validate: Callable[[], None]) -> None:
    """Have a plugin look at its options.

    Args:
        who: how messages name it.
        validate: its method.

    Raises:
        PluginError: it refuses them, or fails.
    """
    try:
        validate()
    except TgdpoError:
        raise
    except ValueError as error:
        raise PluginError(f"{who} refuses its options: {error}") from error
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{who} failed to validate its options: {type(error).__name__}: {error}"
        ) from error


def missing_column(who: str, pair: PreferencePair, name: str) -> DataError:
    """Return the error of a row without a column that a reward reads."""
    return DataError(
        f"{pair.where}: {who} reads the column '{name}', which the row does not have. "
        f"{did_you_mean(name, pair.columns)}"
    )


def find_source(
    plugins: PluginManager,
    name: str,
    args: Mapping[str, Any] | None = None,
    *,
    weight: float = 1.0,
    transforms: Sequence[tuple[str, Transform]] = (),
) -> RewardSource:
    """Return the source that a registered name stands for.

    Raises:
        PluginError: unknown name, or options that do not fit.
    """
    found = plugins.find("token-reward", name)
    identity = {
        "name": found.name,
        "distribution": found.distribution if not Path(found.distribution).is_absolute() else "",
        **_code(found.factory, found.version, found.source),
    }
    source = RewardSource(
        found.create(args), found.name, found.origin, identity, weight, transforms
    )
    return _checked(source)


def source_of_entry(
    entry: Mapping[str, Any],
    plugins: PluginManager,
    *,
    extra: Sequence[tuple[str, Transform]] = (),
) -> RewardSource:
    """Return the source of a recipe's reward entry (``plugin``, ``args``, ``weight``, ...)."""
    transforms = [
        (item["name"], make_transform(plugins, item)) for item in entry.get("transforms", ())
    ]
    return find_source(
        plugins,
        entry["plugin"],
        entry.get("args"),
        weight=entry.get("weight", 1.0),
        transforms=[*transforms, *extra],
    )


def make_transform(plugins: PluginManager, item: Mapping[str, Any]) -> Transform:
    """Return a transform from ``{"name": ..., option: value, ...}``."""
    options = {key: value for key, value in item.items() if key != "name"}
    found = plugins.find("transform", item["name"])
    transform: Transform = with_origin(found.create(options), found.origin)
    return transform


def resolve_shaping(
    shaping: str | Shaping | tuple[str, Shaping],
    plugins: PluginManager,
    args: Mapping[str, Any] | None = None,
) -> tuple[str, Shaping]:
    """Return a shaping with its name."""
    if isinstance(shaping, str):
        found = plugins.find("shaping", shaping)
        return shaping, with_origin(found.create(args), found.origin)
    if isinstance(shaping, tuple):
        return shaping
    return type(shaping).__name__, shaping


def source_of_instance(
    reward: TokenReward, transforms: Sequence[tuple[str, Transform]] = ()
) -> RewardSource:
    """Return a source for a token reward made in Python, named by its class and its source file."""
    if not isinstance(reward, TokenReward):
        raise PluginError(
            f"token_reward must be a name, a TokenReward or None, got {type(reward).__name__}."
        )
    cls = type(reward)
    code = _code(cls, "", source_of(cls, os.sep))
    code.pop("version", None)
    identity = {"name": cls.__qualname__, "module": cls.__module__, **code}
    return _checked(
        RewardSource(reward, cls.__name__, cls.__module__, identity, transforms=transforms)
    )


def _code(factory: Any, version: str, source: str | dict[str, str]) -> dict[str, Any]:
    """Return what of the code decides the values: what the author declares, or what it is."""
    declared = getattr(factory, "store_identity", None)
    if declared is None:
        return {"version": version, "source": source}
    if not isinstance(declared, str) or not declared:
        raise PluginError(
            f"{factory.__name__}.store_identity is {declared!r}; it must be text that names the "
            "code's values, or None."
        )
    return {"declared": declared}


def _require_whole_state(source: RewardSource) -> None:
    """Raise ``PluginError`` for a reward that learns and could not go on after a resume."""
    names = ("state_dict", "load_state_dict", "on_step_end")
    saves, loads, learns = (
        getattr(type(source.reward), name) is not getattr(TokenReward, name) for name in names
    )
    if saves != loads or (learns and not saves):
        raise PluginError(
            f"{source} learns (state_dict, load_state_dict, on_step_end), but lacks "
            f"{'load_state_dict' if saves else 'state_dict'}: --resume would begin its learning "
            "anew."
        )
    if saves and not source.is_dynamic:
        raise PluginError(
            f"{source} has a state, so its values change; stored values must not. Say "
            "dynamic = True, or fit it once with prepare(context, examples)."
        )


def _checked(source: RewardSource) -> RewardSource:
    try:
        needs = tuple(source.reward.required())
    except Exception as error:
        raise PluginError(
            f"{source} failed to say what it requires: {type(error).__name__}: {error}"
        ) from error
    try:
        way_of(source.reward)
    except ValueError as error:
        raise PluginError(f"{source}: {error}.") from error
    _require_whole_state(source)
    at_every_step = of_policy(needs)
    known = {*_NEEDS, *at_every_step, *of_reference(needs)}
    for need in needs:
        if need not in known and not need.startswith("column:"):
            listed = ", ".join([*_NEEDS, *(KNOWN if source.is_dynamic else ())])
            raise PluginError(f"{source} needs '{need}', unknown here. Known: {listed}.")
    if at_every_step and not source.is_dynamic:
        raise PluginError(
            f"{source} needs '{at_every_step[0]}', which changes at every step: say dynamic = True."
        )
    return source
