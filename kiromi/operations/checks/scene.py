"""Some blobs, judged and mended while the writer is kept out.

Judges by the view and the filesystem as they are at that moment, so nothing in motion is taken for a fault. A blob is
moved, or a copy removed, only after its bytes were read and have the SHA-256 that the catalog has; never the last copy.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import pyarrow as pa

from kiromi.blobs.base import Settlement
from kiromi.blobs.local import LocalBlobs
from kiromi.catalog.changes import BlobKey
from kiromi.errors import StorageError
from kiromi.reports.checking import Problem
from kiromi.session.pending import goal_of
from kiromi.session.session import Session


class Content(NamedTuple):
    """What the catalog says of a blob."""

    ext: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Scene:
    """Some blobs as they are while the writer is kept out."""

    session: Session
    seen: Mapping[BlobKey, set[str]]
    contents: Mapping[BlobKey, Content]
    """Those of ``seen`` that the catalog knows."""
    goals: Mapping[BlobKey, str]
    sizes: dict[str, int | None]
    """Of every goal and every path seen."""

    @classmethod
    @contextlib.contextmanager
    def of(cls, session: Session, seen: Mapping[BlobKey, set[str]]) -> Iterator["Scene"]:
        """Keep the writer out, and look."""
        with session.writer, session.snapshot() as (view, cursor):
            contents = _contents_of(cursor, list(seen))
            goals = {key: str(goal_of(key, (content.ext, content.size), view.get)) for key, content in contents.items()}
            paths = sorted({*goals.values()}.union(*seen.values()))
            sizes = dict(zip(paths, session.blobs.sizes(paths), strict=True))
            yield cls(session, seen, contents, goals, sizes)

    def judge(self, key: BlobKey, *, fix: bool) -> list[Problem]:
        """Return what is wrong with a blob's places; mend it if asked to and possible."""
        content, goal = self.contents.get(key), self.goals.get(key, "")
        is_pending = key in self.session.pending.unsettled
        waiting = self.session.pending.places[key] if is_pending else ()
        extras = [path for path in sorted(self.seen[key]) if path not in (goal, *waiting)]
        extras = [path for path in extras if self.sizes[path] is not None]
        if content is None:
            return [
                Problem("orphan", path, f"{path} is the content {blob_name(key)}, unknown to the catalog")
                for path in extras
            ]
        problems = []
        is_somewhere = any(self.sizes[path] == content.size for path in (goal, *extras))
        for path in extras:
            if self.is_home(key):
                fixed = fix and self._drop(path, goal, content)
                problems.append(Problem("duplicate", path, f"{path} is a second copy of {goal}", fixed))
            else:
                fixed = fix and self._bring(key, path, goal, content)
                problems.append(Problem("misplaced", path, f"{path} belongs at {goal}", fixed))
        if not self.is_home(key) and not is_pending:
            size = self.sizes[goal]
            if size is not None:
                message = f"{goal} has {size} bytes; {content.size} were stored"
                problems.append(Problem("size_mismatch", goal, message))
            elif not is_somewhere:
                problems.append(Problem("blob_missing", goal, f"{goal} is not there"))
        return problems

    def is_home(self, key: BlobKey) -> bool:
        """Tell whether something of the right size lies where the blob belongs."""
        return key in self.contents and self.sizes[self.goals[key]] == self.contents[key].size

    def judge_bytes(self, key: BlobKey) -> list[Problem]:
        """Return what is wrong with a blob's bytes."""
        content, goal = self.contents.get(key), self.goals.get(key, "")
        if content is None or key in self.session.pending.unsettled:
            return []  # forgotten since, or reported as pending
        if not self.is_home(key):
            return self.judge(key, fix=False)
        [data] = read_each(self.session, [goal])
        if isinstance(data, StorageError):
            return [Problem("unreadable", goal, data.message)]
        if data is None:
            return [Problem("unreadable", goal, f"{goal} is a link that leads nowhere")]
        if hashlib.sha256(data).digest() == content.sha256:
            return []
        return [Problem("checksum_mismatch", goal, f"{goal} is not what was stored: its SHA-256 differs")]

    def _bring(self, key: BlobKey, path: str, goal: str, content: Content) -> bool:
        """Move a blob from where it was found to its empty place, if its bytes are right."""
        if self.sizes[goal] is not None or not self._is_whole(path, content):
            return False
        if self.session.blobs.settle([Settlement(*key, goal, (path,), content.size)]):
            return False
        self.sizes[goal] = content.size
        return True

    def _drop(self, path: str, goal: str, content: Content) -> bool:
        """Remove a second copy, if both have the right bytes and are not one file under two names."""
        if not (self._is_whole(path, content) and self._is_whole(goal, content)) or self._is_same_file(path, goal):
            return False
        try:
            self.session.blobs.remove([path])
        except StorageError:
            return False
        return True

    def _is_same_file(self, one: str, other: str) -> bool:
        # A filesystem that ignores case shows one file under both names: removing one would remove the other.
        blobs = self.session.blobs
        return isinstance(blobs, LocalBlobs) and os.path.samefile(blobs.root / one, blobs.root / other)

    def _is_whole(self, path: str, content: Content) -> bool:
        if self.sizes[path] != content.size:
            return False
        [data] = read_each(self.session, [path])
        return isinstance(data, bytes) and hashlib.sha256(data).digest() == content.sha256


def read_each(session: Session, paths: Sequence[str]) -> Sequence[bytes | StorageError | None]:
    """Return the bytes at each path, None where nothing lies, an error where something cannot be read."""
    try:
        return session.blobs.read_many(paths)
    except StorageError as error:
        if len(paths) == 1:
            return [error]
        return [found for path in paths for found in read_each(session, [path])]


def _contents_of(cursor: duckdb.DuckDBPyConnection, keys: Sequence[BlobKey]) -> dict[BlobKey, Content]:
    wanted = pa.table({"id": [key[0] for key in keys], "n": pa.array([key[1] for key in keys], pa.int32())})
    cursor.register("wanted", wanted)
    query = "SELECT c.id, c.n, c.ext, c.size, c.sha256 FROM contents c JOIN wanted USING (id, n)"
    found = cursor.execute(query).fetchall()
    cursor.unregister("wanted")
    return {(memory_id, n): Content(ext, size, sha256) for memory_id, n, ext, size, sha256 in found}


def blob_name(key: BlobKey) -> str:
    """Return what people call a blob."""
    return f"{key[0]}.{key[1]}"
