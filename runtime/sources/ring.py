"""Pictures from one process to another: a bounded ring in shared memory, the newest win.

The writer never waits: it writes picture `n` into slot `n % slots` and then tells its number over
a socket. The reader copies a picture out and then looks at what it was told meanwhile: as long as
it has not heard of picture `n + slots - 1`, nobody has begun to write over picture `n`.
"""

import mmap
import os
import tempfile
from typing import Optional, Tuple

import numpy as np

_BYTES = 24 << 20


def slots_of(size: Tuple[int, int]) -> int:
    """How many pictures of `(width, height)` a ring holds: 3 to 8."""
    return max(3, min(8, _BYTES // (3 * size[0] * size[1])))


def make_memory() -> int:
    """A file descriptor of shared memory without a name: it goes when its last user does."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("edgelane-camera")
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        return os.dup(file.fileno())


class Ring:
    """One side's view of the memory.

    Args:
        descriptor: From `make_memory`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: Optional[mmap.mmap] = None
        self._pictures: Optional[np.ndarray] = None
        self.slots = 0
        self.size: Tuple[int, int] = (0, 0)

    def shape(self, size: Tuple[int, int]) -> None:
        """Lay the memory out for pictures of `(width, height)`; it grows and never shrinks."""
        self.size, self.slots = size, slots_of(size)
        needed = self.slots * size[0] * size[1] * 3
        if os.fstat(self._descriptor).st_size < needed:
            os.ftruncate(self._descriptor, needed)
        self._pictures = None
        self._map = mmap.mmap(self._descriptor, needed)
        flat = np.frombuffer(self._map, np.uint8)
        self._pictures = flat.reshape(self.slots, size[1], size[0], 3)

    def write(self, number: int, image: np.ndarray) -> None:
        """Put picture `number` in its slot."""
        assert self._pictures is not None
        self._pictures[number % self.slots] = image

    def read(self, number: int) -> np.ndarray:
        """A copy of picture `number`."""
        assert self._pictures is not None
        return self._pictures[number % self.slots].copy()

    def intact(self, number: int, latest: int) -> bool:
        """Whether picture `number` cannot have been written over when `latest` was told last."""
        return number > latest - self.slots + 1

    def close(self) -> None:
        """Let go of the memory."""
        self._pictures = self._map = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
