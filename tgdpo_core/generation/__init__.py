"""Answers of models to prompts: drawn by an engine, kept by content, read by all that judge."""
