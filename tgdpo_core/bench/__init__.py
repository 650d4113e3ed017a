"""How well token rewards find errors that are marked, before any training."""
