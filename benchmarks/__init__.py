"""Side-by-side measurements; run from the checkout, e.g. ``python -m benchmarks.peers --help``."""
