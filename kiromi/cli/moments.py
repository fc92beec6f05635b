"""From words on the command line to moments: a snapshot's tag or id, a seq, ``live``, or a time."""

from datetime import datetime
from typing import TYPE_CHECKING

from kiromi.cli.values import moment
from kiromi.errors import InvalidInput, SnapshotNotFound

if TYPE_CHECKING:
    from kiromi.store import Store

HELP = 'A snapshot by tag or id, a seq such as 120, "live", or a time in ISO 8601, UTC without a zone.'


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
