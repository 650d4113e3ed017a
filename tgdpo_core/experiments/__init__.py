"""Experiments: many runs or exact worlds, and what follows from them."""
