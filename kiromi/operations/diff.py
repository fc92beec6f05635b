"""Diff: what differs between two moments.

Between seq a and a later seq b, a row of a is no longer there at b if it ended in (a, b], and a row of b is new if it
began there. These two sets, joined by id, are the difference; nothing else is read, so the cost follows what changed.
Compared is what is stored: expired memories too, and a memory that expired meanwhile did not change. What was changed
and changed back is no difference.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import unified_diff
from typing import Any, NamedTuple

import duckdb

from kiromi.attributes import decode_attributes, encode_value
from kiromi.catalog.past import Moment, check_kept
from kiromi.catalog.rows import CLOSED_ROWS, LIVE_ROWS, Row, to_rows
from kiromi.errors import BlobMissing
from kiromi.model import Link
from kiromi.operations.asof import resolve
from kiromi.operations.caller import Caller
from kiromi.operations.embedding import is_text
from kiromi.operations.links import LINK_COLUMNS, link_of, visible_links
from kiromi.operations.present import info_of
from kiromi.reports.diff import Diff, Difference, LinkDifference
from kiromi.session.contents import read_blob

PLACE_FIELDS = frozenset({"partition", "scheme"})
"""A memory that differs in nothing else has moved."""
FIELDS = (
    "media_type",
    "partition",
    "scheme",
    "key",
    "namespace",
    "kind",
    "title",
    "tags",
    "language",
    "importance",
    "confidence",
    "event_at",
    "valid_from",
    "valid_until",
    "expires_at",
    "created_at",
    "superseded_by",
    "superseded_at",
)
"""What is compared besides content and attributes."""
ENDED = f"{CLOSED_ROWS} WHERE m.begin_seq <= $1 AND m.end_seq > $1 AND m.end_seq <= $2"
"""The rows at seq $1 that were no longer there at the later $2."""
BEGUN = (
    f"{LIVE_ROWS} WHERE m.begin_seq > $1 AND m.begin_seq <= $2"
    f" UNION ALL {CLOSED_ROWS} WHERE m.begin_seq > $1 AND m.begin_seq <= $2 AND m.end_seq > $2"
)
"""The rows at $2 that were not there yet at $1."""
_LINKS_ENDED = f"SELECT {LINK_COLUMNS} FROM links l WHERE l.begin_seq <= $1 AND l.end_seq > $1 AND l.end_seq <= $2"
_LINKS_BEGUN = (
    f"SELECT {LINK_COLUMNS} FROM links l"
    " WHERE l.begin_seq > $1 AND l.begin_seq <= $2 AND (l.end_seq IS NULL OR l.end_seq > $2)"
)
LinkKey = tuple[str, str, str]
"""Source, destination and kind: of such links at most one holds at a time."""


def diff(caller: Caller, a: Any, b: Any, within: Mapping[str, Any] | None, *, content: bool) -> Diff:
    """Return what differs between two moments; see ``Store.diff``."""
    before, after = resolve(caller, a), resolve(caller, b)
    caller = replace(caller, scope=caller.within(within))
    found = compare(caller, before, after)
    try:
        told = [_difference(caller, one, with_text=content) for one in found]
    except BlobMissing:
        with caller.session.catalog.snapshot() as cursor:  # gc may have removed a moment meanwhile
            check_kept(cursor, before.seq)
            check_kept(cursor, after.seq)
        raise
    both = [one for one in told if one.fields]
    return Diff(
        before_seq=before.seq,
        after_seq=after.seq,
        added=tuple(one for one in told if one.before is None),
        removed=tuple(one for one in told if one.after is None),
        changed=tuple(one for one in both if not PLACE_FIELDS.issuperset(one.fields)),
        moved=tuple(one for one in both if PLACE_FIELDS.issuperset(one.fields)),
        links=_link_differences(caller, before, after),
    )


class Changed(NamedTuple):
    """A memory whose rows at two moments differ in something that a caller can see."""

    id: str
    before: Row | None
    after: Row | None
    fields: tuple[str, ...]
    """What differs, if there are both."""


def compare(caller: Caller, before: Moment, after: Moment) -> list[Changed]:
    """Return the memories within the caller's scope that differ between two moments, in the order of ids."""
    first, last = sorted((before.seq, after.seq))
    with caller.session.snapshot() as (_, cursor):
        check_kept(cursor, before.seq)
        check_kept(cursor, after.seq)
        ended = _rows(caller, cursor, ENDED, first, last)
        begun = _rows(caller, cursor, BEGUN, first, last)
    olds, news = (ended, begun) if before.seq <= after.seq else (begun, ended)
    found = []
    for memory_id in sorted(olds.keys() | news.keys()):
        old, new = olds.get(memory_id), news.get(memory_id)
        fields = () if old is None or new is None else tuple(differing(old, new))
        if old is None or new is None or fields:
            found.append(Changed(memory_id, old, new, fields))
    return found


def differing(before: Row, after: Row) -> list[str]:
    """Return the names of the fields in which two versions of a memory differ, attributes one by one."""
    names = ["content"] if before.sha256 != after.sha256 else []
    names += [name for name in FIELDS if getattr(before, name) != getattr(after, name)]
    if before.attributes != after.attributes:
        old, new = (_encoded(row) for row in (before, after))
        names += [f"attributes.{name}" for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return names


def _encoded(row: Row) -> dict[str, str]:
    """Return the attributes with their types told apart: 1, 1.0 and true are equal in Python."""
    return {name: encode_value(value) for name, value in decode_attributes(row.attributes).items()}


def _rows(caller: Caller, cursor: duckdb.DuckDBPyConnection, sql: str, first: int, last: int) -> dict[str, Row]:
    table = cursor.sql(sql, params=[first, last]).to_arrow_table()
    return {row.id: row for row in to_rows(table) if caller.sees(row)}


def _difference(caller: Caller, found: Changed, *, with_text: bool) -> Difference:
    schemes = caller.session.schemes
    before, after = found.before, found.after
    return Difference(
        id=found.id,
        before=None if before is None else info_of(before, schemes),
        after=None if after is None else info_of(after, schemes),
        fields=found.fields,
        text=_text(caller, before, after) if with_text else None,
    )


# -- contents ----------------------------------------------------------------------------------------------------------


def _text(caller: Caller, before: Row | None, after: Row | None) -> str | None:
    rows = [row for row in (before, after) if row is not None]
    if not all(is_text(row.media_type) for row in rows) or len({row.sha256 for row in rows}) < len(rows):
        return None
    old, new = (None if row is None else read_blob(caller.session, row) for row in (before, after))
    old_name, new_name = ("/dev/null" if row is None else row.live_path for row in (before, after))
    return text_diff(old or b"", new or b"", old_name, new_name) or None


def text_diff(before: bytes, after: bytes, before_name: str, after_name: str) -> str:
    """Return the unified diff of two texts, as git writes it; empty if they are the same."""
    lines = unified_diff(_lines(before), _lines(after), before_name, after_name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    # Only a newline ends a line, as for git; str.splitlines knows a dozen others.
    *lines, last = data.decode(errors="replace").split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])


# -- links -------------------------------------------------------------------------------------------------------------


def _link_differences(caller: Caller, before: Moment, after: Moment) -> tuple[LinkDifference, ...]:
    first, last = sorted((before.seq, after.seq))
    ended, begun = changed_links(caller, first, last)
    old, new = (ended, begun) if before.seq <= after.seq else (begun, ended)
    olds, news = links_by_key(caller, before, old.values()), links_by_key(caller, after, new.values())
    found = (LinkDifference(olds.get(key), news.get(key)) for key in sorted(olds.keys() | news.keys()))
    return tuple(one for one in found if said(one.before) != said(one.after))


def changed_links(caller: Caller, first: int, last: int) -> tuple[dict[LinkKey, Link], dict[LinkKey, Link]]:
    """Return the links at one seq that no longer held at a later one, and those at the later that did not hold yet.

    Raises:
        SnapshotNotFound: ``gc`` has removed what only one of the two showed, perhaps since the memories were compared.
    """
    with caller.session.snapshot() as (_, cursor):
        check_kept(cursor, first)
        check_kept(cursor, last)
        ended, begun = (
            [link_of(row) for row in cursor.execute(sql, [first, last]).fetchall()]
            for sql in (_LINKS_ENDED, _LINKS_BEGUN)
        )
    return {link_key(link): link for link in ended}, {link_key(link): link for link in begun}


def links_by_key(caller: Caller, moment: Moment, links: Iterable[Link]) -> dict[LinkKey, Link]:
    """Return the links that the caller could see at a moment, by their ends and kind."""
    found = list(links)
    if found and caller.scope.wanted:
        with replace(caller, moment=moment).reading() as (rows, cursor):
            found = visible_links(caller, rows, cursor, found)
    return {link_key(link): link for link in found}


def said(link: Link | None) -> Link | None:
    """Return what a link says, whoever said it when."""
    return None if link is None else replace(link, seq=0, actor="")


def link_key(link: Link) -> LinkKey:
    """Return what a link is told from others by."""
    return link.src, link.dst, link.kind
