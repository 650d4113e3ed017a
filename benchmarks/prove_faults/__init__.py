"""`make prove-faults`: runs and stores are killed at every point of a write, and go on exactly."""
