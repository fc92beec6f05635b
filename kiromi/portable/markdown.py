"""A folder of text files: what people and other tools keep memories in.

Promises that content is the whole file, byte for byte, front matter included, and that a key is the file's path below
the folder with ``/`` between its parts, never normalised. An export with metadata adds ``.kiromi.jsonl``, one line per
memory (see :mod:`kiromi.portable.lines`), and such a folder reads back as the same memories. Nothing outside the
folder is read or written.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from kiromi.errors import InvalidInput, StorageError
from kiromi.model import Memory
from kiromi.portable import frontmatter
from kiromi.portable.lines import MAX_LINE_BYTES, bounded_lines, encode_line
from kiromi.portable.source import BadRecord, Found, check_record, parse_json
from kiromi.portable.target import LinksOf, new_file, new_folder
from kiromi.records import extension, media_type_of
from kiromi.reports.transfer import ExportReport, Renamed

METADATA = ".kiromi.jsonl"
"""The file in which an export keeps what the contents do not say."""
SUFFIXES = (".md", ".markdown", ".txt", ".json")
"""The files that are read."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_NAME_BYTES = 255
_LOST = (
    "ids, namespaces, kinds, titles, tags, attributes, times and links, but for what front matter says: "
    "they are written with metadata only"
)


def read_folder(root: Path, *, namespace: str, rename: Mapping[str, str] | None = None) -> Iterator[Found]:
    """Return the records of a folder, in the order of their paths, read one by one.

    Files of other suffixes than ``SUFFIXES``, and hidden files and folders, are passed over. In Markdown files front
    matter is read as :mod:`kiromi.portable.frontmatter` says. Bad records are: text that is not UTF-8, a file name that
    is not, bad front matter, a symbolic link that leads out of the folder or to a folder, a file that cannot be read.

    If the folder holds ``.kiromi.jsonl``, the files that it lists come first and are what it says, whatever their
    suffix or front matter; they must have the bytes that were exported. The names of these are kept in memory.

    Args:
        root: the folder.
        namespace: of the keys of files that no metadata describes.
        rename: as :func:`~kiromi.portable.frontmatter.draft_fields` takes it.

    Raises:
        InvalidInput: the root is not a folder.
    """
    if not root.is_dir():
        raise InvalidInput(f"{str(root)!r} is not a folder", path=str(root))
    return _read_folder(root.resolve(), namespace, rename or {})


def write_markdown(
    memories: Iterable[Memory], folder: Path, *, metadata: bool = False, links_of: LinksOf | None = None
) -> ExportReport:
    """Write the bytes of each memory at the path that its key is; a memory without one at ``<id>.<ext>``.

    A key that is no path below the folder, or whose path is taken (by a memory of another namespace, a folder, or on a
    filesystem that ignores case), is written as ``<encoded key>.<id>.<ext>``, which the report names.

    Args:
        memories: taken one by one.
        folder: absent or empty.
        metadata: whether to add ``.kiromi.jsonl``, with which nothing that a caller gave is lost.
        links_of: gives the links to write with a memory's metadata.

    Raises:
        InvalidInput: the folder is there and not empty.
        StorageError: the filesystem failed.
    """
    new_folder(folder)
    renamed: list[Renamed] = []
    written = size_bytes = 0
    with ExitStack() as stack:
        lines = stack.enter_context(new_file(folder / METADATA)) if metadata else None
        for memory in memories:
            file = _write_memory(folder, memory, renamed)
            if lines is not None:
                lines.write(encode_line(memory, links_of(memory.id) if links_of else (), file=file))
            written += 1
            size_bytes += memory.size
    return ExportReport(written, size_bytes, () if metadata else (_LOST,), tuple(renamed))


def _read_folder(root: Path, namespace: str, rename: Mapping[str, str]) -> Iterator[Found]:
    listed: set[str] = set()
    metadata = root / METADATA
    if metadata.is_file() and not metadata.is_symlink():
        with metadata.open("rb") as stream:
            yield from _read_listed(root, stream, listed, namespace)
    for path, problem in _walk(root):
        position = path if problem is None else os.fsencode(path).decode(errors="backslashreplace")
        if path in listed:
            continue
        yield BadRecord(position, problem) if problem else _read_file(root, path, namespace, rename)


def _read_listed(root: Path, stream: BinaryIO, listed: set[str], namespace: str) -> Iterator[Found]:
    for number, line in enumerate(bounded_lines(stream, MAX_LINE_BYTES), start=1):
        position = f"{METADATA} line {number}"
        try:
            fields = parse_json(line) if line is not None else None
            if not isinstance(fields, dict) or not isinstance(file := fields.pop("file", None), str):
                raise InvalidInput("expected an object with a file and the fields of a record")
            problem = _why_no_path(file) or ("it is listed twice" if file in listed else None)
            if problem:
                raise InvalidInput(f"file {file!r}: {problem}")
        except InvalidInput as error:
            yield BadRecord(position, error.message)
            continue
        listed.add(file)
        problem, data = _read_bytes(root, file)
        yield BadRecord(file, problem) if problem else check_record({**fields, "content": data}, file, namespace)


def _read_file(root: Path, path: str, namespace: str, rename: Mapping[str, str]) -> Found:
    problem, data = _read_bytes(root, path)
    if problem:
        return BadRecord(path, problem)
    media_type = media_type_of(path.rpartition(".")[2])
    fields = {"content": data, "media_type": media_type, "key": path}
    if media_type == "text/markdown":
        try:
            fields |= frontmatter.draft_fields(frontmatter.parse(data.decode())[0], rename)
        except UnicodeDecodeError as error:
            return BadRecord(path, f"not UTF-8 at byte {error.start}; text is stored as UTF-8 only")
        except InvalidInput as error:
            return BadRecord(path, error.message)
    return check_record(fields, path, namespace)


def _read_bytes(root: Path, path: str) -> tuple[str | None, bytes]:
    """Return why a file cannot be read, or None and its bytes."""
    try:
        resolved = (root / path).resolve(strict=True)
        if not resolved.is_relative_to(root):
            return "a symbolic link that leads out of the folder; it is not followed", b""
        if not resolved.is_file():
            return "not a regular file", b""
        return None, resolved.read_bytes()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links, before Python 3.13
        return f"cannot be read: {getattr(error, 'strerror', None) or error}", b""


def _walk(root: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the path of each file below the root, in order, with what is wrong about it if one can tell by its name."""
    pending = [_entries(root, "")]
    while pending:
        path, is_folder, problem = next(pending[-1], (None, False, None))
        if path is None:
            pending.pop()
        elif is_folder and problem is None:
            pending.append(_entries(root, path + "/"))
        else:
            yield path, problem


def _entries(root: Path, below: str) -> Iterator[tuple[str, bool, str | None]]:
    try:
        with os.scandir(root / below) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield below, False, f"the folder cannot be read: {error.strerror}"
        return
    for entry in found:
        path = below + entry.name
        is_folder = _is_folder(entry)
        if entry.name.startswith(".") or not (is_folder or entry.name.lower().endswith(SUFFIXES)):
            continue
        problem = None
        if not _is_unicode(path):
            problem = "the file name is not UTF-8; rename it"
        elif is_folder and entry.is_symlink():
            problem = "a symbolic link to a folder; it is not followed"
        yield path, is_folder, problem


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links: reading it will say so
        return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_memory(folder: Path, memory: Memory, renamed: list[Renamed]) -> str:
    ending = extension(memory.media_type)
    file = f"{memory.id}.{ending}" if memory.key is None else memory.key
    problem = _why_no_path(file) or _write_new(folder / file, memory.data)
    if problem is None:
        return file
    # Cut short of what filesystems allow; the id tells names apart that the cut makes alike.
    start = quote(file, safe="").replace(".", "%2E")[:120]
    safe, attempt = f"{start}.{memory.id}.{ending}", 0
    while _write_new(folder / safe, memory.data):
        attempt += 1
        safe = f"{start}.{memory.id}.{attempt}.{ending}"
    renamed.append(Renamed(memory.id, file, safe, problem))
    return safe


def _write_new(path: Path, data: bytes) -> str | None:
    """Write a file that is not there yet; return why that is impossible under this name."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(data)
        return None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return "the path is taken"
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            return "the filesystem has no such names"
        raise StorageError(f"{path} could not be written: {error.strerror}", path=str(path)) from error


def _why_no_path(key: str) -> str | None:
    """Return why a key is no path of a file below a folder, on any system; None if it is one."""
    parts = key.split("/")
    if not all(parts) or "." in parts or ".." in parts:
        return "it has an empty part, '.' or '..'"
    if "\\" in key or _DRIVE.match(key) or _CONTROL.search(key) or not _is_unicode(key):
        return "it has a backslash, a drive letter or a control character"
    if any(len(part.encode()) > _MAX_NAME_BYTES for part in parts):
        return f"a part of it is over {_MAX_NAME_BYTES} bytes"
    if key.casefold() == METADATA:
        return "the name is that of the metadata"
    return None
