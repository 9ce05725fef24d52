"""The experiments, one module a question."""
