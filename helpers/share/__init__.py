"""The study for other software."""
