"""Mazes, A* traces, small transformers and a formal validator, behind the notebooks."""
