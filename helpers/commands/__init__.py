"""The commands of ``python -m helpers``, a module a family; argument checking, nothing else."""
