"""What every writer shares: files and folders that are new.

Promises that an export never touches what was there, and that a file under its final name is whole: it is written as
``<name>.partial``, synced, and renamed. An export into a folder is not one step; it is whole when its writer returns.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from kiromi.errors import InvalidInput, KiromiError, StorageError

LinksOf: TypeAlias = Callable[[str], Sequence[Mapping[str, Any]]]
"""Gives the links of the memory of an id, as mappings of JSON values and datetimes."""


@contextmanager
def new_file(path: Path, *, parents: bool = False) -> Iterator[BinaryIO]:
    """Give a stream to a file that appears at ``path``, whole, when the block ends well, and not at all otherwise.

    Args:
        path: where nothing is yet.
        parents: whether to make the folders above it.

    Raises:
        InvalidInput: something lies at the path, or its folder is not there.
        StorageError: the filesystem failed.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.parent.is_dir():
            raise InvalidInput(f"{path}: the folder {path.parent} is not there; create it first", path=str(path))
        _check_absent(path)
        _check_absent(partial)
        with partial.open("xb") as stream, _removed_on_error(partial):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            _check_absent(path)
            partial.rename(path)
    except KiromiError:
        raise
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}", path=str(path)) from error


def new_folder(path: Path) -> None:
    """Make the folder of an export.

    Raises:
        InvalidInput: something other than an empty folder lies at the path.
        StorageError: the filesystem failed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        first = next(path.iterdir(), None)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInput(f"{path} is not a folder; name an empty or absent one", path=str(path)) from error
    except OSError as error:
        raise StorageError(f"{path} could not be made: {error.strerror}", path=str(path)) from error
    if first is not None:
        raise InvalidInput(
            f"{path} is not empty (it has {first.name!r}); an export needs an empty or absent folder", path=str(path)
        )


@contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _check_absent(path: Path) -> None:
    if os.path.lexists(path):
        raise InvalidInput(f"{path} exists; an export does not overwrite, remove it or name another", path=str(path))
