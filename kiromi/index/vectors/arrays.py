"""Named arrays in one file, and files that are mapped and checked block by block before their bytes are first used.

The layout: eight bytes with the length of a JSON header, the header (name → dtype, shape, offset), and the arrays, each
at a multiple of 64 bytes. Arrays read from a mapping are views of it: page cache, no private memory.
"""

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kiromi.errors import IndexCorrupt
from kiromi.index.files import BLOCK_BYTES, FileSum, Manifest, sum_bytes, sum_file

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
_ALIGNMENT = 64


def write_arrays(path: Path, arrays: Arrays) -> FileSum:
    """Write arrays to a new file and return its checksums."""
    header: dict[str, tuple[str, tuple[int, ...], int]] = {}
    offset = 0
    for name, array in arrays.items():
        header[name] = (array.dtype.str, array.shape, offset)
        offset = _aligned(offset + array.nbytes)
    text = json.dumps(header).encode()
    text += b" " * (_aligned(len(text) + 8) - len(text) - 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)
            file.write(b"\0" * (_aligned(array.nbytes) - array.nbytes))
    return sum_file(path)


def read_arrays(folder: Path, name: str, manifest: Manifest) -> dict[str, npt.NDArray[Any]]:
    """Read arrays into memory, checked.

    Raises:
        IndexCorrupt: the file is not there or not what was written.
    """
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise IndexCorrupt(f"the index file {name} cannot be read: {error}", file=name) from error
    if sum_bytes(data) != manifest.files.get(name):
        raise _differs(name)
    return parse_arrays(memoryview(data))


def parse_arrays(data: memoryview) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a file whose bytes are known to be right."""
    begin = 8 + int.from_bytes(data[:8], "little")
    arrays = {}
    for name, (dtype, shape, offset) in json.loads(bytes(data[8:begin])).items():
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, dtype, count, begin + offset if count else 0).reshape(shape)
    return arrays


class MappedFile:
    """A file of an index in the address space."""

    __slots__ = ("_map", "_sum", "_unchecked", "data", "name")

    def __init__(self, folder: Path, name: str, wanted: FileSum | None, *, checked: bool = False) -> None:
        """Map a file that is not empty.

        Args:
            folder: the folder of the index.
            name: the file, relative to it.
            wanted: what the file must be.
            checked: it was just written or read by this process: its blocks need no look.

        Raises:
            IndexCorrupt: it is not there, or has another size.
        """
        try:
            with (folder / name).open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise IndexCorrupt(f"the index file {name} cannot be read: {error}", file=name) from error
        if wanted is None or len(self._map) != wanted.size:
            raise _differs(name)
        self.name = name
        self.data = memoryview(self._map)
        self._sum = wanted
        self._unchecked: npt.NDArray[np.bool_] | None = None if checked else np.ones(len(wanted.blocks), np.bool_)

    @property
    def is_checked(self) -> bool:
        """Whether all blocks have been checked."""
        return self._unchecked is None

    def guard(self) -> None:
        """Look whether the file still has its size: a byte beyond the end would kill the process.

        Raises:
            IndexCorrupt: somebody cut it.
        """
        if self._map.size() != self._sum.size:
            raise _differs(self.name)

    def check(self, begin: int = 0, end: int | None = None) -> None:
        """Check the blocks of the bytes ``[begin, end)`` that were not checked before; all unless said.

        Raises:
            IndexCorrupt: one is not what was written.
        """
        stop = self._sum.size if end is None else end
        self.check_blocks(np.arange(begin // BLOCK_BYTES, -(-stop // BLOCK_BYTES)))

    def check_blocks(self, blocks: npt.NDArray[np.int64]) -> None:
        """Check those of some blocks, by number, that were not checked before.

        Raises:
            IndexCorrupt: one is not what was written.
        """
        unchecked = self._unchecked
        if unchecked is None:
            return
        for block in blocks[unchecked[blocks]].tolist():
            start = block * BLOCK_BYTES
            if sum_bytes(self.data[start : start + BLOCK_BYTES]).blocks[0] != self._sum.blocks[block]:
                raise _differs(self.name)
            unchecked[block] = False
        if not unchecked.any():
            self._unchecked = None


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def _differs(name: str) -> IndexCorrupt:
    return IndexCorrupt(f"the index file {name} is not what was written", file=name)
