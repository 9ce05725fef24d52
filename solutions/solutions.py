"""Answers to the exercises at the ends of the notebooks, one of many each.

Paste the value or the function into the notebook's cell.
"""

# Notebook 2: a valid trace of its 4×4 maze that is not strict. After the first close only one
# neighbour is created; no rule of a valid trace asks for the other.
VALID_NOT_STRICT = [
    "close 0 1 c0 c5", "create 0 2 c1 c4",
    "close 0 2 c1 c4", "create 1 2 c2 c3",
    "close 1 2 c2 c3", "create 2 2 c3 c2",
    "close 2 2 c3 c2", "create 2 1 c4 c3", "create 3 2 c4 c1",
    "close 3 2 c4 c1", "create 3 3 c5 c0",
    "close 3 3 c5 c0"]

# Notebook 3: breaks `not_lowest_f` alone, on the maze of notebook 2. The cell above the start is
# closed, f = 7, before the one below, f = 5; up to there all is as it should be.
NOT_LOWEST_F = ["close 0 1 c0 c5", "create 0 0 c1 c6", "create 0 2 c1 c4", "close 0 0 c1 c6"]


# Notebook 5: the events of each trace in a random order.
def shuffled(events, rng):
    return [events[i] for i in rng.permutation(len(events))]


# Notebook 10: `solution_only` has 82 of 100 plans right where it is, and 2 of them one position on.
BREAKING_SHIFT = 1

# Notebook 11: the plan of `swapped` runs into a wall, that of `correct` is valid.
SWAPPED_FAILS = [
    ".G...#.#",
    ".#####.#",
    ".....#.#",
    ".#####.#",
    "......S#",
    ".#####.#",
    "...#...#",
    "########"]


# Notebook 20: the events of a trace from the last to the first. Only a trace of a single event,
# where start and goal are one cell, would stay as it is.
def backwards(events, maze, rng):
    return events[::-1]
