"""The trainer, its settings, its metrics, and the run folder it leaves behind."""
