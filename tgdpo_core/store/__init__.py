"""The content-addressed store: collections of per-token values, and tables made from data sets."""
