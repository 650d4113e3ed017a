"""The contracts without pytest: every check of a contract in turn, and what it found."""

from collections.abc import Iterator
from dataclasses import dataclass

from tgdpo_core.errors import TgdpoError
from tgdpo_core.testing.contract import PluginContract
from tgdpo_core.testing.datasets import DatasetContract
from tgdpo_core.testing.judges import JudgeContract
from tgdpo_core.testing.losses import LossContract
from tgdpo_core.testing.shapings import ShapingContract
from tgdpo_core.testing.token_rewards import TokenRewardContract
from tgdpo_core.testing.transforms import TransformContract

CONTRACT_OF_KIND: dict[str, type[PluginContract]] = {
    "token-reward": TokenRewardContract,
    "transform": TransformContract,
    "shaping": ShapingContract,
    "loss": LossContract,
    "judge": JudgeContract,
    "dataset": DatasetContract,
}
"""The contract of each kind of plugin (``hook_rules.HOOK_OF_KIND``)."""


@dataclass(frozen=True)
class Outcome:
    """What one check found.

    Attributes:
        check: what must hold, in words.
        failure: why it does not, or None.
    """

    check: str
    failure: str | None


def outcomes(contract: PluginContract) -> Iterator[Outcome]:
    """Run every check of a contract and yield what it found, in the order they are written."""
    for cls in reversed(type(contract).__mro__):
        for name in vars(cls):
            if name.startswith("test_"):
                check = name.removeprefix("test_").replace("_", " ")
                yield Outcome(check, _failure(contract, name))


def _failure(contract: PluginContract, name: str) -> str | None:
    try:
        getattr(contract, name)()
    except (AssertionError, TgdpoError) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the plugin door
        return f"{type(error).__name__}: {error}"
    return None
