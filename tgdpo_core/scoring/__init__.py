"""Per-token values of frozen models and reward plugins, computed once and stored."""
