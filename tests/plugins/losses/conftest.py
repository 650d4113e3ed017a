"""Short runs of the trainer, as in tests/core/training."""

from tests.core.training.conftest import make_trainer, run_record

__all__ = ["make_trainer", "run_record"]
