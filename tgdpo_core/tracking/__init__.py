"""Trackers: what a run and an ablation send to tensorboard, wandb, trackio and mlflow."""
