"""What a training step needs of a GPU's memory, worked out without loading a model."""
