"""Mazes, A* traces, small transformers and a formal validator, behind the notebooks."""

from helpers.engine import caches

caches.settle()  # before numba is imported
