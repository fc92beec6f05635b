"""What an erasure does to archives: those that it is pointed at, and the one that is kept beside the store.

They are rewritten before anything of the store goes, while it is known which memories are meant; doing it again after a
kill does no harm. The archive beside the store is not written to meanwhile: an increment could bring back what goes.
"""

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kiromi.errors import InvalidInput, NotFound
from kiromi.operations.caller import Caller
from kiromi.operations.erase_rows import traces_of

if TYPE_CHECKING:
    from kiromi.portable.archive.chain import Archive


def archives_to_rewrite(caller: Caller, archives: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Return where the archives lie that an erasure has to rewrite, each once; all of them can be read.

    Raises:
        InvalidInput: one of those given is no path or URL, or the archive of another store.
        NotFound: no finished archive lies there.
        IntegrityError: its manifest is damaged.
    """
    given = [archives] if isinstance(archives, (str, os.PathLike)) else list(archives)
    if not given and caller.keeper is None:
        return ()
    # Here, because Parquet takes as long to load as opening a store.
    from kiromi.portable.archive.chain import Archive, kept_at, kept_names
    from kiromi.portable.archive.manifest import NAME
    from kiromi.portable.archive.place import Place

    if any(not isinstance(url, (str, os.PathLike)) for url in given):
        raise InvalidInput(f"archives={archives!r}; accepted: paths or URLs of archives")
    found = []
    for url in given:
        place = Place.of(url, _options_of(caller, os.fspath(url)))
        kept = [] if place.read(NAME) is not None else kept_at(place)
        for archive in kept or [Archive.at(place)]:
            _check_owner(caller, archive)
        found.append(place.url)
    if caller.keeper is not None and kept_names(Place.of(caller.keeper.url, caller.keeper.storage_options)):
        found.append(caller.keeper.url)
    return tuple(dict.fromkeys(found))


def _check_owner(caller: Caller, archive: "Archive") -> None:
    # Links to partitions go as well, and another store may have partitions of the same names.
    mine, theirs = caller.session.meta.store_id, archive.manifest.store_id
    if theirs != mine:
        raise InvalidInput(f"the archive {archive.place.url} is of the store {theirs}, and this is {mine}")


def rewrite_archives(caller: Caller, urls: Sequence[str], ids: Collection[str]) -> None:
    """Take memories out of archives.

    Raises:
        NotFound: an archive is not there any more; those named after it are not rewritten yet.
        IntegrityError, StorageError: one cannot be read or written.
    """
    from kiromi.portable.archive.forget import forget

    with caller.session.lease, caller.session.snapshot() as (_, cursor):
        partitions = traces_of(caller.session, cursor, list(ids)).partitions
    for url in urls:
        try:
            forget(url, ids, partitions, storage_options=_options_of(caller, url))
        except NotFound as error:
            raise type(error)(
                f"the archive {url}, of which memories are to be erased, is not there any more: the erasure goes on"
                f" when it is back ({error})"
            ) from error


@contextlib.contextmanager
def keeping_still(caller: Caller) -> Iterator[None]:
    """Keep the archive beside the store from being written to within a block."""
    if caller.keeper is None:
        yield
        return
    with caller.keeper.guard:
        yield


def _options_of(caller: Caller, url: str) -> Mapping[str, Any] | None:
    keeper = caller.keeper
    return keeper.storage_options if keeper is not None and keeper.url == url else None
