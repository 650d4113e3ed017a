"""Random token rewards: the control that every other source must beat."""

from collections.abc import Sequence
from typing import Literal

from tgdpo_core import Example, TokenReward, option
from tgdpo_plugins.seeding import example_generator


class RandomReward(TokenReward):
    """Independent noise, the same for a response in every batch, order and process."""

    distribution: Literal["normal", "uniform"] = option("normal", help="normal or uniform noise")
    mean: float = option(0.0, help="mean of the noise")
    std: float = option(1.0, help="standard deviation of the noise")
    seed: int = option(0, help="seed of the noise")

    def __post_init__(self) -> None:
        """Refuse a negative deviation."""
        if self.std < 0:
            raise ValueError(f"std must not be negative, got {self.std}")

    def score(self, batch: Sequence[Example]) -> list[list[float]]:
        """Return noise seeded by the content of each response."""
        return [self._noise(example) for example in batch]

    def _noise(self, example: Example) -> list[float]:
        generator = example_generator(example, stream="random", seed=self.seed)
        if self.distribution == "normal":
            return [generator.gauss(self.mean, self.std) for _ in example.response_ids]
        half_width = self.std * 3**0.5
        low, high = self.mean - half_width, self.mean + half_width
        return [generator.uniform(low, high) for _ in example.response_ids]
