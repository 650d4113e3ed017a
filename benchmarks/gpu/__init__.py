"""What needs a card: ``python -m benchmarks.gpu``."""
