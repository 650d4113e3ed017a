"""A bound that keeps the order of values."""

from tgdpo_core import Transform, option


class SoftClip(Transform):
    """limit * tanh(r / limit): nearly r where it is small, never beyond the limit."""

    limit: float = option(1.0, help="what no reward exceeds")

    def __post_init__(self):
        """Refuse a limit that leaves nothing."""
        if self.limit <= 0:
            raise ValueError(f"limit must be above 0, got {self.limit}")

    def __call__(self, rewards, example, state):
        """Return the bounded rewards of one response."""
        return self.limit * (rewards / self.limit).tanh()
