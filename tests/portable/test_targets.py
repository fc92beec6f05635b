"""Files and folders of an export: new, whole, or not there."""

from pathlib import Path

import pytest

from kiromi.errors import InvalidInput, MemoryNotFound, StorageError
from kiromi.portable.target import new_file, new_folder


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with new_file(tmp_path / "a.jsonl") as stream:
        stream.write(b"x")
        assert not (tmp_path / "a.jsonl").exists()
    assert (tmp_path / "a.jsonl").read_bytes() == b"x"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("name", ["a", "a.partial"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InvalidInput, match=f"{name} exists; an export does not overwrite"), new_file(tmp_path / "a"):
        pass
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_dangling_link_counts_as_something(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("absent")
    with pytest.raises(InvalidInput, match="exists"), new_file(tmp_path / "a"):
        pass


def test_what_came_in_between_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="exists"), new_file(tmp_path / "a"):
        (tmp_path / "a").write_text("mine")
    assert (tmp_path / "a").read_text() == "mine"
    assert not (tmp_path / "a.partial").exists()


def test_the_folder_must_be_there_unless_it_may_be_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="create it first"), new_file(tmp_path / "sub" / "a"):
        pass
    with new_file(tmp_path / "sub" / "a", parents=True) as stream:
        stream.write(b"x")
    assert (tmp_path / "sub" / "a").read_bytes() == b"x"


def test_errors_of_the_filesystem_are_storage_errors_and_others_pass(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No space"), new_file(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    with pytest.raises(MemoryNotFound), new_file(tmp_path / "a"):
        raise MemoryNotFound("gone")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(StorageError, match="Read-only file system"):
        new_folder(tmp_path / "a")
