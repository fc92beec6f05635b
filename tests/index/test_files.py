"""Files of an index: checksums notice every change, and the manifest is swapped as a whole."""

import contextlib
import json
import os
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.errors import IndexCorrupt
from kiromi.index.files import (
    BLOCK_BYTES,
    MANIFEST,
    FileSum,
    Manifest,
    check_file,
    load_manifest,
    new_name,
    remove_others,
    store_manifest,
    sum_bytes,
    sum_file,
)

FACTS = {"watermark": 7, "model": "ä"}


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 17])
def test_checksums_are_those_of_the_blocks(size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    blocks = [data[start : start + BLOCK_BYTES] for start in range(0, size, BLOCK_BYTES)]
    expected = FileSum(size, tuple(map(zlib.crc32, blocks)))
    assert sum_bytes(data) == sum_bytes(memoryview(data)) == sum_file(tmp_path / "file") == expected


def test_a_file_is_what_the_manifest_says_or_corrupt(tmp_path: Path) -> None:
    data = b"x" * 100
    manifest = store_manifest(tmp_path, {}, {"a": sum_bytes(data), "b": sum_bytes(data)})
    (tmp_path / "a").write_bytes(data)
    check_file(tmp_path, "a", manifest)
    for wrong in (b"", data[1:], data + b"x", b"y" + data[1:]):
        (tmp_path / "a").write_bytes(wrong)
        with pytest.raises(IndexCorrupt, match="file a is not what was written"):
            check_file(tmp_path, "a", manifest)
    with pytest.raises(IndexCorrupt, match="file b cannot be read"):
        check_file(tmp_path, "b", manifest)
    (tmp_path / "c").write_bytes(data)
    with pytest.raises(IndexCorrupt, match="file c"):
        check_file(tmp_path, "c", manifest)


def test_a_manifest_says_what_was_put_into_it(tmp_path: Path) -> None:
    assert load_manifest(tmp_path) is None
    assert load_manifest(tmp_path / "none") is None
    files = {"a": FileSum(3, (1, 2)), "folder/b": FileSum(0, ())}
    assert store_manifest(tmp_path, FACTS, files) == Manifest(FACTS, files)
    assert load_manifest(tmp_path) == Manifest(FACTS, files)


def test_a_new_manifest_takes_the_place_of_the_old_and_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    for name in ("a", "b", "manifest-0.partial"):
        (tmp_path / name).touch()
    store_manifest(tmp_path, {}, {"a": FileSum(0, ()), "b": FileSum(0, ())})
    store_manifest(tmp_path, FACTS, {"b": FileSum(0, ())})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "folder", "kept", MANIFEST]
    remove_others(tmp_path, ["b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "folder"]


def test_a_manifest_that_cannot_be_swapped_in_leaves_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = store_manifest(tmp_path, FACTS, {})

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        store_manifest(tmp_path, {}, {})
    assert load_manifest(tmp_path) == former


@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), min_size=1, max_size=3))
def test_every_flipped_bit_of_a_manifest_is_noticed(flips: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = store_manifest(folder, FACTS, {"a": FileSum(3, (1, 2))})
        raw = bytearray((folder / MANIFEST).read_bytes())
        for at, bit in flips:
            raw[at % len(raw)] ^= 1 << bit
        (folder / MANIFEST).write_bytes(raw)
        # A checksum in capitals is the same checksum.
        with contextlib.suppress(IndexCorrupt):
            assert load_manifest(folder) == manifest


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"not json",
        b"\xff",
        json.dumps({"format": 2, "facts": {}, "files": {}}).encode(),
        json.dumps({"format": 1, "facts": {}}).encode(),
        json.dumps({"format": 1, "facts": {}, "files": {"a": 3}}).encode(),
        json.dumps({"format": 1, "facts": {}, "files": []}).encode(),
    ],
)
def test_what_is_no_manifest_is_corrupt(document: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b"%08x\n%b" % (zlib.crc32(document), document))
    with pytest.raises(IndexCorrupt, match="manifest of the index"):
        load_manifest(tmp_path)


def test_a_manifest_that_cannot_be_read_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        load_manifest(tmp_path)


def test_names_are_new() -> None:
    names = {new_name("matrix", "f32") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("matrix-") and name.endswith(".f32") for name in names)
