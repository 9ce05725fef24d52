"""Random numbers for kernels: two kinds of stream that answer the same questions.

A stream is ``uint64 [2]``: its state and its kind, 0 the published 32-bit linear congruential
generator, 1 splitmix64. Kernels only ever ask for "an index below n" or "whether a number is
below p", so the published random numbers and our own feed the same ones.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def mix(z):
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _next(rng):
    """The next 32 random bits, as int64."""
    if rng[1] == np.uint64(0):
        rng[0] = (rng[0] * np.uint64(1664525) + np.uint64(1013904223)) & np.uint64(0xFFFFFFFF)
        return np.int64(rng[0])
    rng[0] += np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mix(rng[0]) >> np.uint64(32))


@njit(cache=True)
def below(rng, n):
    """An index below n: floor(u n) with u = 32 bits / 2^32."""
    return (_next(rng) * np.int64(n)) >> np.int64(32)


@njit(cache=True)
def chance(rng, p):
    """Whether u < p."""
    return _next(rng) < p * 4294967296.0


@njit(cache=True)
def shuffle(rng, items, n):
    """Fisher–Yates from the last of the first n items down."""
    for i in range(n - 1, 0, -1):
        j = below(rng, i + 1)
        items[i], items[j] = items[j], items[i]


@njit(cache=True)
def example_state(key, index):
    """Where the stream of example ``index`` of a data set begins."""
    return mix(key ^ mix(np.uint64(index)))
