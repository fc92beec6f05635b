"""The Parquet parts of an archive: written as a stream in files of bounded size and hashed; read and checked."""

import contextlib
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from kiromi.errors import BlobMissing, ChecksumMismatch, IntegrityError
from kiromi.portable.archive.manifest import Part
from kiromi.portable.archive.place import Place

PART_BYTES = 128 * 2**20
"""A part ends when its file has this size, or soon after."""
GROUP_BYTES = 16 * 2**20
"""About how much a row group holds, unless one row alone is larger: neither side needs memory for more than a few."""
READ_ROWS = 4096
_CHUNK = 2**20
_REPEATED = frozenset(
    ("partition", "namespace", "kind", "language", "media_type", "ext", "run_id", "actor", "reason", "op", "scheme")
)
"""Columns whose values come again and again; a dictionary of the others would cost time and save nothing."""


class PartWriter:
    """Writes the parts of one kind; use as a context manager."""

    def __init__(
        self, place: Place, kind: str, schema: pa.Schema, part_bytes: int = PART_BYTES, first: int = 0
    ) -> None:
        """``first`` is the number of the first part."""
        self._first = first
        self.parts: list[Part] = []
        self._place = place
        self._kind = kind
        self._schema = schema
        self._part_bytes = part_bytes
        self._open = contextlib.ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._stream: _Hashing | None = None
        self._rows = 0

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self._end()
        else:
            self._open.__exit__(kind, error, trace)

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Write rows as one row group; a new part begins when the one before is full."""
        if not batch.num_rows:
            return
        if self._writer is None or self._stream is None:
            name = self._name()
            self._stream = _Hashing(self._open.enter_context(self._place.created(name)))
            repeated = [name for name in self._schema.names if name in _REPEATED]
            self._writer = pq.ParquetWriter(
                self._stream, self._schema, compression="zstd", compression_level=1, use_dictionary=repeated or False
            )
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._rows += table.num_rows
        if self._stream.size >= self._part_bytes:
            self._end()

    def _name(self) -> str:
        return f"{self._kind}-{self._first + len(self.parts):05}.parquet"

    def _end(self) -> None:
        if self._writer is None or self._stream is None:
            return
        self._writer.close()
        stream = self._stream
        name, self._writer, self._stream, rows, self._rows = self._name(), None, None, self._rows, 0
        self._open.close()
        self.parts.append(Part(name, self._kind, rows, stream.size, stream.hash.hexdigest()))


def write_all(place: Place, kind: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table]) -> list[Part]:
    """Write all parts of a kind; none if there are no rows."""
    with PartWriter(place, kind, schema) as writer:
        for batch in batches:
            writer.write(batch)
    return writer.parts


def check_part(place: Place, part: Part) -> None:
    """Read a part and compare it with what the manifest says.

    Raises:
        BlobMissing: it is not there.
        ChecksumMismatch: its bytes are not those that were written.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with place.opened(part.name) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError as error:
        raise BlobMissing(f"part {part.name} of the archive {place.url} is missing", **_where(place, part)) from error
    if size != part.bytes:
        raise ChecksumMismatch(
            f"part {part.name} of the archive {place.url} has {size:,} bytes; {part.bytes:,} were written",
            **_where(place, part),
        )
    if digest.hexdigest() != part.sha256:
        raise ChecksumMismatch(
            f"part {part.name} of the archive {place.url} is damaged: its SHA-256 differs", **_where(place, part)
        )


def read_part(place: Place, part: Part, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part, a bounded number at a time.

    Raises:
        IntegrityError: it is missing, or no Parquet.
    """
    try:
        with place.opened(part.name) as stream, pq.ParquetFile(stream, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                # One group after the other: how much is in memory is then what the writer bounded. No threads: with
                # them Arrow may hang or abort the process at its end if it read from a Python file (arrow#50482).
                yield from file.read_row_group(group, columns=columns, use_threads=False).to_batches(READ_ROWS)
    except FileNotFoundError as error:
        raise BlobMissing(f"part {part.name} of the archive {place.url} is missing", **_where(place, part)) from error
    except pa.ArrowException as error:
        raise IntegrityError(
            f"part {part.name} of the archive {place.url} is not readable: {error}", **_where(place, part)
        ) from error


def in_groups(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches cut so that each makes a row group of about the size that is meant."""
    for batch in rows:
        per_row = max(1, batch.nbytes // max(1, batch.num_rows))
        step = max(1, GROUP_BYTES // per_row)
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)


def _where(place: Place, part: Part) -> dict[str, str]:
    return {"url": place.url, "part": part.name}


class _Hashing(io.RawIOBase):
    """Hands on what is written, and hashes it."""

    def __init__(self, target: BinaryIO) -> None:
        super().__init__()
        self.hash = hashlib.sha256()
        self.size = 0
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.hash.update(view)
        self.size += view.nbytes
        self._target.write(view)
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def close(self) -> None:
        """Leave the target open: whoever opened it ends it."""
        super().close()
