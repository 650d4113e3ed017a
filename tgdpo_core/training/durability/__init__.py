"""What keeps a run: checkpoints that are whole or not there, stops that save, numbers that stop."""
