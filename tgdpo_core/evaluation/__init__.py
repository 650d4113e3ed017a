"""What trained models answer, and how good it is."""
