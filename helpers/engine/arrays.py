"""Arrays larger than memory: they grow on disk, piece by piece, and are read as they lie there."""

from pathlib import Path

import numpy as np


class Growing:
    """Arrays that are written piece by piece, one behind the other.

    Args:
        folder: an empty one; each array has a file of its own there.
    """

    def __init__(self, folder: Path):
        self.folder, self.sizes = folder, {}
        self._of_one: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}  # type and shape of an entry

    def add(self, **pieces: np.ndarray) -> None:
        """Writes a piece of each array, ``[n, …]``: types and further sizes as of the first."""
        for name, piece in pieces.items():
            of_one = piece.dtype, piece.shape[1:]
            if self._of_one.setdefault(name, of_one) != of_one:
                raise ValueError(f"{name}: got {of_one}, takes {self._of_one[name]}, as before")
            with open(self.folder / name, "ab") as file:
                file.write(np.ascontiguousarray(piece))
            self.sizes[name] = self.sizes.get(name, 0) + len(piece)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was written, by name: the files themselves, mapped, for as long as they lie."""
        return {name: np.memmap(self.folder / name, dtype, "r", shape=(self.sizes[name], *shape))
                for name, (dtype, shape) in self._of_one.items()}
