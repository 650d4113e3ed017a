"""The conformance kit: inherit a contract in your test suite, and your plugin is held to it.

    from tgdpo_core.testing import TokenRewardContract

    class TestCaps(TokenRewardContract):
        plugin = Caps(penalty=2.0)

Run pytest. ``tgdpo plugins check NAME`` runs the same checks on an installed plugin. Importing the
kit loads neither torch nor pytest.
"""

from tgdpo_core.testing.datasets import DatasetContract
from tgdpo_core.testing.examples import make_examples, make_tokenizer
from tgdpo_core.testing.judges import JudgeContract
from tgdpo_core.testing.losses import LossContract
from tgdpo_core.testing.shapings import ShapingContract
from tgdpo_core.testing.token_rewards import TokenRewardContract
from tgdpo_core.testing.transforms import TransformContract

__all__ = [
    "DatasetContract",
    "JudgeContract",
    "LossContract",
    "ShapingContract",
    "TokenRewardContract",
    "TransformContract",
    "make_examples",
    "make_tokenizer",
]
