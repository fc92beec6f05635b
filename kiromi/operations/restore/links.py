"""The links of a restore: those that hold and did not then are ended, those that held are made again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kiromi.catalog.past import Moment
from kiromi.model import Link
from kiromi.operations.caller import Caller
from kiromi.operations.diff import LinkKey, changed_links, link_key, links_by_key, said
from kiromi.operations.ends import memory_of
from kiromi.operations.links import LINK_COLUMNS, link_of
from kiromi.operations.restore.scope import Scope
from kiromi.operations.within import Within
from kiromi.reports.diff import LinkDifference
from kiromi.reports.restoring import LeftAlone
from kiromi.session.operation import Operation
from kiromi.times import to_micros

_NAMED = "(SELECT unnest(?::VARCHAR[]) AS src, unnest(?::VARCHAR[]) AS dst, unnest(?::VARCHAR[]) AS kind)"
_HELD = f"SELECT {LINK_COLUMNS} FROM links l JOIN {_NAMED} x USING (src, dst, kind) WHERE l.end_seq IS NULL"
_END = (
    f"UPDATE links SET end_seq = ? FROM {_NAMED} x WHERE links.end_seq IS NULL"
    " AND links.src = x.src AND links.dst = x.dst AND links.kind = x.kind"
)
_MAKE = (
    "INSERT INTO links SELECT src, dst, kind, weight, note, make_timestamptz(valid_from),"
    " make_timestamptz(valid_until), ?, NULL, actor"
    " FROM (SELECT unnest(?::VARCHAR[]) AS src, unnest(?::VARCHAR[]) AS dst, unnest(?::VARCHAR[]) AS kind,"
    " unnest(?::DOUBLE[]) AS weight, unnest(?::VARCHAR[]) AS note, unnest(?::BIGINT[]) AS valid_from,"
    " unnest(?::BIGINT[]) AS valid_until, unnest(?::VARCHAR[]) AS actor)"
)


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """The links that are not what they were."""

    differences: tuple[LinkDifference, ...]
    """``before`` is the one at the base moment, ``after`` the one that held then."""


def plan_links(caller: Caller, target: Moment, base: Moment, scope: Scope) -> LinkPlan:
    """Return the links within a scope that differ between two moments.

    Within a partition those are meant whose ends all lie within it at one of the moments; of ids, those with one end
    among them. Past the handle's wall no link is touched.
    """
    then, now = changed_links(caller, target.seq, base.seq)
    keys = then.keys() | now.keys()
    if scope.within.wanted:
        keys &= _visible(caller, scope.within, target, then) | _visible(caller, scope.within, base, now)
    if scope.wall.wanted:
        keys -= then.keys() - _visible(caller, scope.wall, target, then)
        keys -= now.keys() - _visible(caller, scope.wall, base, now)
    if scope.ids is not None:
        keys = {key for key in keys if not scope.ids.isdisjoint(filter(None, map(memory_of, key[:2])))}
    pairs = (LinkDifference(now.get(key), then.get(key)) for key in sorted(keys))
    return LinkPlan(tuple(pair for pair in pairs if said(pair.before) != said(pair.after)))


def _visible(caller: Caller, within: Within, moment: Moment, links: dict[LinkKey, Link]) -> set[LinkKey]:
    return set(links_by_key(replace(caller, scope=within), moment, links.values()))


def restore_links(caller: Caller, operation: Operation, plan: LinkPlan) -> tuple[int, list[LeftAlone]]:
    """Make the links what they were, within an operation that is alone in its commit.

    Returns:
        How many were made, ended or changed, and those left alone because somebody changed them meanwhile.
    """
    left: list[LeftAlone] = []
    ended: list[Link] = []
    made: list[Link] = []
    if not plan.differences:
        return 0, left
    held = _held(caller, [link_key(one.last) for one in plan.differences])
    count = 0
    for one in plan.differences:
        key = link_key(one.last)
        current = held.get(key)
        if said(current) == said(one.after):
            continue  # somebody else did it
        if current != one.before:
            what = f"{key[0]} -> {key[1]} ({key[2]})"
            left.append(LeftAlone(None, what, "the link was changed after the restore began"))
            continue
        count += 1
        if current is not None:
            ended.append(current)
        if one.after is not None:
            made.append(one.after)
        _record(operation, one)
    if ended:
        operation.execute(_END, operation.seq, *_columns([link_key(link) for link in ended]))
    if made:
        names = _columns([link_key(link) for link in made])
        facts = _columns([(link.weight, link.note, *_times(link), link.actor) for link in made])
        operation.execute(_MAKE, operation.seq, *names, *facts)
    return count, left


def _held(caller: Caller, keys: Sequence[LinkKey]) -> dict[LinkKey, Link]:
    """Return those of the links that hold now."""
    with caller.session.snapshot() as (_, cursor):
        found = [link_of(values) for values in cursor.execute(_HELD, _columns(keys)).fetchall()]
    return {link_key(link): link for link in found}


def _record(operation: Operation, one: LinkDifference) -> None:
    facts: dict[str, object] = {"src": one.last.src, "dst": one.last.dst, "kind": one.last.kind}
    if one.before is not None and one.after is not None:
        names = ("weight", "note", "valid_from", "valid_until")
        facts["changed"] = [name for name in names if getattr(one.before, name) != getattr(one.after, name)]
    about = memory_of(one.last.src) or memory_of(one.last.dst)
    operation.record("unlink" if one.after is None else "link", about, facts)


def _times(link: Link) -> tuple[int | None, int | None]:
    first, last = (None if moment is None else to_micros(moment) for moment in (link.valid_from, link.valid_until))
    return first, last


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
