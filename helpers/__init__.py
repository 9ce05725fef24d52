"""Mazes, A* traces, small transformers and a formal validator: a thin package behind the notebooks."""
