"""Whatever bytes a source holds, its reader gives records, good or bad, and never raises."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kiromi.portable.csv import read_csv
from kiromi.portable.jsonl import read_jsonl
from kiromi.portable.markdown import read_folder
from kiromi.portable.parquet import read_parquet, write_parquet
from kiromi.portable.source import BadRecord, Found, SourceRecord
from tests.portable.strategies import simple

PIECES = [
    *[
        b"---\n",
        b"\n",
        b"\r\n",
        b"\r",
        b": ",
        b"- ",
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"'",
        b",",
        b"&a ",
        b"*a",
        b"!!int ",
        b"#",
    ],
    *[b"title", b"tags", b"event_at", b"content", b"attributes", b"partition", b"links", b"id", b"a", b"\xff", b"\x00"],
    *[b"2024-02-30", b"2026-01-01 00:00:00", b"12:30", b"0x_", b".nan", b"1e999", b"~", b"true", b"\\ud800", b"| \n  "],
    *[
        "\ufeff".encode(),
        "é".encode(),
        b'{"content": "x"',
        b', "attributes": {"n": ',
        b'{"decimal": "1"}',
        b"}}\n",
        b"content,a\n",
    ],
]
junk = st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join))


def read_front_matter(path: Path) -> Iterator[Found]:
    path.write_bytes(b"---\n" + path.read_bytes() + b"\n---\n")
    return read_folder(path.parent, namespace="")


def read_metadata(path: Path) -> Iterator[Found]:
    path.rename(path.with_name(".kiromi.jsonl"))
    return read_folder(path.parent, namespace="")


def read_all(read: Callable[[Path], Iterator[Found]], data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.md"
        path.write_bytes(data)
        for found in read(path):
            assert isinstance(found, SourceRecord | BadRecord)
            if isinstance(found, BadRecord):
                assert found.reason
                f"{found.position}: {found.reason}".encode()


@pytest.mark.parametrize("read", [read_jsonl, read_csv, read_front_matter, read_metadata, read_parquet])
@given(data=junk)
@example(b"")
@example(b"PAR1")
def test_no_bytes_raise(read: Callable[[Path], Iterator[Found]], data: bytes) -> None:
    read_all(read, data)


@given(at=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_no_flipped_byte_of_a_parquet_file_raises(at: int, bits: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.parquet"
        write_parquet([simple("x", attributes={"n": 1}, tags=("a",))], path)
        data = bytearray(path.read_bytes())
    data[at % len(data)] ^= bits
    read_all(read_parquet, bytes(data))
