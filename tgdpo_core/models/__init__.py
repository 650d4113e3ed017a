"""Models: found by name, loaded by one door, checked, and named by their content."""
