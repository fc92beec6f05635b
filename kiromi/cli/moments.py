"""From words on the command line to moments: a snapshot's tag or id, a seq, ``live``, or a time."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from kiromi.cli import options
from kiromi.cli.values import KEY_PREFIX, id_of, moment
from kiromi.errors import InvalidInput, SnapshotNotFound

if TYPE_CHECKING:
    from kiromi.store import Store
    from kiromi.store.view import StoreView

HELP = 'A snapshot by tag or id, a seq such as 120, "live", or a time in ISO 8601, UTC without a zone.'
At: TypeAlias = Annotated[
    str | None,
    typer.Option("--at", metavar="MOMENT", help=f"As the store was then. {HELP}", rich_help_panel=options.SELECT),
]


def looking(store: "Store", at: str | None) -> "Store | StoreView":
    """Return what is to be read: the store, or what it was at a moment.

    Raises:
        SnapshotNotFound: there is no such moment.
    """
    return store if at is None else store.at(ref_of(store, at))


def id_then(store: "Store", seen: "Store | StoreView", reference: str, namespace: str | None) -> str:
    """Return the id that a reference means to what is read: for ``key:NAME`` the memory that has, or had, that key.

    Raises:
        MemoryNotFound: no memory has or had that key.
        InvalidInput: memories of several namespaces have it.
    """
    if seen is not store and reference.startswith(KEY_PREFIX):
        wanted = {"key": reference.removeprefix(KEY_PREFIX)} | ({} if namespace is None else {"namespace": namespace})
        found = seen.list(where=wanted).items
        if len(found) == 1:
            return found[0].id
    return id_of(store, reference, namespace)


def ref_of(store: "Store", word: str) -> str | int | datetime:
    """Return what a word means: a snapshot if there is one of that name, else a seq or a time.

    Raises:
        SnapshotNotFound: it means none of these.
    """
    if word.isascii() and word.isdigit():
        return int(word)
    try:
        store.at(word)
    except SnapshotNotFound:
        try:
            found = moment(word, "moment")
        except InvalidInput:
            found = None
        if found is None:
            raise
        return found
    return word
