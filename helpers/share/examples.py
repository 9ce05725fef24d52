"""Mazes with their A* traces and plans, as other software reads data sets: JSONL and Parquet.

JSONL is the published form, one text an example. Parquet has a row an example, and columns:

    text                     the whole example: prompt, reasoning and plan, a space between two
    prompt, reasoning, plan  its parts: ``query …``, ``reasoning …``, ``solution … end``
    rows, cols               of the grid
    start, goal              x, y
    grid                     rows of cells, 1 free, 0 wall

    datasets.load_dataset("parquet", data_files="wilson.parquet")

Traces and plans are written anew by A*: whatever answer a maze came with is not among them.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import IO

import numpy as np

from helpers.language import Vocabulary, at_once, encode_mazes, jsonl
from helpers.maze import Mazes


def write_jsonl(mazes: Mazes, file: IO[bytes]) -> None:
    """Writes ``{"text":"…"}`` lines, the same bytes as ``helpers generate``."""
    vocabulary = Vocabulary(*mazes.grids.shape[1:])
    for _, tokens, bounds in _encoded(mazes):
        file.write(jsonl(vocabulary, tokens, bounds))


def write_parquet(mazes: Mazes, file: IO[bytes]) -> None:
    """Writes the columns of the module's text.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow as pa  # not among the packages of the study
    from pyarrow import parquet
    _, rows, cols = mazes.grids.shape
    cell = pa.list_(pa.int16(), 2)
    schema = pa.schema({"text": pa.string(), "prompt": pa.string(), "reasoning": pa.string(),
                        "plan": pa.string(), "rows": pa.int16(), "cols": pa.int16(),
                        "start": cell, "goal": cell,
                        "grid": pa.list_(pa.list_(pa.uint8(), cols), rows)})
    vocabulary = Vocabulary(rows, cols)
    with parquet.ParquetWriter(file, schema) as writer:
        for part, tokens, bounds in _encoded(mazes):
            parts = np.array([[vocabulary.decode(tokens[begin:end])
                               for begin, end in pairwise(row)] for row in bounds], object)
            n = len(parts)
            lines = pa.FixedSizeListArray.from_arrays(pa.array(part.grids.ravel()), cols)
            writer.write_table(pa.table([
                [" ".join(row) for row in parts], *parts.T, np.full(n, rows), np.full(n, cols),
                pa.FixedSizeListArray.from_arrays(pa.array(part.starts.ravel()), 2),
                pa.FixedSizeListArray.from_arrays(pa.array(part.goals.ravel()), 2),
                pa.FixedSizeListArray.from_arrays(lines, rows)], schema=schema))


def _encoded(mazes: Mazes) -> Iterator[tuple[Mazes, np.ndarray, np.ndarray]]:
    """Some mazes after the other, each time with their tokens and bounds as `encode_mazes` has."""
    n, rows, cols = mazes.grids.shape
    size = at_once(rows, cols)
    for i in range(0, n, size):
        part = Mazes(*(array[i:i + size] for array in mazes))
        yield part, *encode_mazes(part)
