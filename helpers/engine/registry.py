"""A table of named things of which each stands for itself.

Generators, conditions and experiments are entries of registries. What is made with one entry
does not follow from the others, so a fingerprint (`helpers.study.fingerprint`) goes through
the entry that was used, never through the whole table.
"""


class Registry(dict):
    """Name → entry."""
