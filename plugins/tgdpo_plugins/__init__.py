"""The built-in plugins; they use only the public names of ``tgdpo_core``."""
