"""Tasks of lm-evaluation-harness, put to the models and adapters of this project."""
