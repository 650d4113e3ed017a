"""Responses with marked errors: rows of the layouts in use, and their tokens."""
