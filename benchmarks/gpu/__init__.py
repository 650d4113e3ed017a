"""What needs a card, in ten minutes: ``python -m benchmarks.gpu``."""
