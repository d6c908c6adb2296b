"""Collect the chunks of new pixel data: slices of the input, few new bytes in memory, more on disk.

The file has no name and holds cleaned pixels alone; it ends with the chunks that look into it.
"""

import mmap
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO, Final

from deid.container import Chunk

IN_MEMORY_BYTES: Final = 16 << 20


class Spill:
    """A sequence of chunks that is written once and read once."""

    def __init__(self, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self._room_bytes = in_memory_bytes
        self._parts: list[Chunk | tuple[int, int]] = []
        self._open = ExitStack()
        self._file: IO[bytes] | None = None
        self._written_bytes = 0

    def keep(self, slice_of_input: memoryview) -> None:
        """Pass on a part of the input as it is."""
        if len(slice_of_input):
            self._parts.append(slice_of_input)

    def add(self, new: bytes) -> None:
        """Take over new bytes."""
        if len(new) <= self._room_bytes:
            self._room_bytes -= len(new)
            self._parts.append(new)
            return
        if self._file is None:
            self._file = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  (closed by `chunks`)
        self._file.write(new)
        self._parts.append((self._written_bytes, len(new)))
        self._written_bytes += len(new)

    def chunks(self) -> tuple[Chunk, ...]:
        """Give what was collected, in order; nothing can be added any more."""
        if self._file is None:
            return tuple(part for part in self._parts if not isinstance(part, tuple))
        with self._open:
            self._file.flush()
            written = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
        return tuple(
            written[part[0] : part[0] + part[1]] if isinstance(part, tuple) else part
            for part in self._parts
        )


def joined(chunks: Sequence[Chunk], in_memory_bytes: int = IN_MEMORY_BYTES) -> memoryview:
    """Give chunks as one piece: the only one as it is, few bytes in memory, more on disk."""
    if len(chunks) == 1:
        return memoryview(chunks[0])
    if sum(map(len, chunks)) <= in_memory_bytes:
        return memoryview(b"".join(chunks))
    with tempfile.TemporaryFile() as file:
        file.writelines(chunks)
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
