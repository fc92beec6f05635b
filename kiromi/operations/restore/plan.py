"""The plan of a restore: which memories differ between two moments, and in which order they are brought back.

It is a function of the two moments and the scope, so a resumed restore makes the very same one. It holds columns and
not rows, of which a large store would need ten times the memory: rows are made batch by batch.

Two live memories never have the same key. So a memory that takes over a key goes into one operation with the memory
that has it now: they form a *group*, and a batch is made of whole groups. Groups are in the order of their smallest
ids, and that id is the cursor of the job: a number of items would mean something else once one of them was erased.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kiromi.catalog.past import Moment, check_kept
from kiromi.catalog.rows import Row, id_matrix, to_rows
from kiromi.operations.caller import Caller
from kiromi.operations.diff import BEGUN, ENDED, FIELDS, PLACE_FIELDS
from kiromi.operations.restore.links import LinkPlan, plan_links
from kiromi.operations.restore.scope import Scope

BATCH = 5_000
"""Memories per operation, but for a group, which is never divided."""
_MARKS = frozenset({"superseded_by", "superseded_at"})
_EDITS = ("sha256", "attributes", *(name for name in FIELDS if name not in _MARKS | PLACE_FIELDS))

_Numbers = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]
_Pair = tuple[str, str]


class Effect(IntEnum):
    """What is done to a memory."""

    NONE = 0
    REMOVED = 1
    """It was not there then."""
    BACK = 2
    """It is not there now."""
    EDITED = 3
    """It differs in what a caller changes: it gets a new version."""
    MARKED = 4
    """It differs in what superseded it, and perhaps in where it lies, which are no edits: it keeps its version."""
    MOVED = 5
    """It differs only in where it lies."""


class Item(NamedTuple):
    """A memory of the plan."""

    id: str
    effect: Effect
    now: Row | None
    """Its row at the base moment."""
    then: Row | None
    """Its row at the moment that is restored."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be done, in this order."""

    target: Moment
    base: Moment
    scope: Scope
    ids: npt.NDArray[np.bytes_]
    groups: npt.NDArray[np.bytes_]
    """For each memory the smallest id of its group; rising."""
    effects: npt.NDArray[np.uint8]
    now_at: _Numbers
    """Where each one's row is in ``now``, or -1."""
    then_at: _Numbers
    now: pa.Table
    then: pa.Table
    outside: tuple[str, ...]
    """Memories that the handle may see at one of the moments only: they are left alone."""
    winners: Mapping[str, str | None]
    """What the memories of the plan will have been superseded by; empty if none of them will."""
    links: LinkPlan
    scheme: int | None
    """The number of the scheme that is to be active again; None if it is, or if only a scope is restored."""
    erased_seq: int
    """The last operation that had erased something when it was made; see :func:`renewed`."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not len(self.ids) and not self.links.differences and self.scheme is None

    def after(self, cursor: str | None) -> range:
        """Return the positions of the next batch after that of a cursor; empty at the end."""
        start = 0 if cursor is None else int(self.groups.searchsorted(cursor.encode(), side="right"))
        if start == len(self.ids):
            return range(0)
        last = self.groups[min(start + BATCH, len(self.ids)) - 1]
        return range(start, int(self.groups.searchsorted(last, side="right")))

    def cursor(self, batch: range) -> str:
        """Return the cursor that stands for a batch having been done."""
        return bytes(self.groups[batch.stop - 1]).decode()

    def items(self, batch: range) -> list[Item]:
        """Return the memories at some positions."""
        part = slice(batch.start, batch.stop)
        nows, thens = _rows(self.now, self.now_at[part]), _rows(self.then, self.then_at[part])
        names = (bytes(memory_id).decode() for memory_id in self.ids[part])
        effects = (Effect(code) for code in self.effects[part].tolist())
        return [Item(*values) for values in zip(names, effects, nows, thens, strict=True)]

    def count(self, *effects: Effect) -> int:
        """Return how many memories have one of these effects."""
        return int(np.isin(self.effects, effects).sum())

    @property
    def revived(self) -> _Flags:
        """Which memories get a content that is not the present one."""
        found: _Flags = self.effects == int(Effect.BACK)
        both = np.flatnonzero(self.effects == int(Effect.EDITED))
        old = self.then.column("n").to_numpy()[self.then_at[both]]
        found[both] = old != self.now.column("n").to_numpy()[self.now_at[both]]
        return found

    @property
    def size_bytes(self) -> int:
        """Of the contents that come back."""
        return int(self.then.column("size").to_numpy()[self.then_at[self.revived]].sum())


def make_plan(caller: Caller, target: Moment, base: Moment, scope: Scope) -> Plan:
    """Return how to come from the base moment back to the state of an earlier one, or the same.

    Raises:
        SnapshotNotFound: ``gc`` has removed what only one of the two showed.
    """
    erased_seq = caller.session.erased_seq  # first: what is erased meanwhile makes it out of date
    with caller.session.snapshot() as (_, cursor):
        check_kept(cursor, target.seq)
        check_kept(cursor, base.seq)
        moments = [target.seq, base.seq]
        then, now = (cursor.sql(sql, params=moments).to_arrow_table().combine_chunks() for sql in (ENDED, BEGUN))
    then_ids, now_ids = id_matrix(then.column("id")), id_matrix(now.column("id"))
    ids = np.union1d(then_ids, now_ids)
    then_at, now_at = _places(ids, then_ids), _places(ids, now_ids)
    effects = _effects(then, now, then_at, now_at, has_vectors=bool(caller.session.models))
    chosen: _Flags = effects != int(Effect.NONE)
    if scope.ids is not None:
        chosen &= np.isin(ids, np.array(sorted(scope.ids), ids.dtype))
    outside: list[str] = []
    if scope.within.wanted or scope.wall.wanted:
        _choose(scope, chosen, _sides(then, now, then_at, now_at, chosen), outside)
    ids, effects = ids[chosen], effects[chosen]
    then_at, now_at = then_at[chosen], now_at[chosen]
    groups = _groups(_keys(then, then_at), _keys(now, now_at))
    order = np.argsort(groups, kind="stable")
    is_other_scheme = scope.is_whole and base.scheme != target.scheme
    return Plan(
        target,
        base,
        scope,
        ids[order],
        ids[groups[order]],
        effects[order],
        now_at[order],
        then_at[order],
        now,
        then,
        tuple(outside),
        _winners(ids, then, then_at),
        plan_links(caller, target, base, scope),
        target.scheme if is_other_scheme else None,
        erased_seq,
    )


def renewed(caller: Caller, plan: Plan) -> Plan:
    """Return a plan that knows nothing of what was erased since it was made; the caller keeps writers out.

    A plan holds links to such memories, and what they superseded, which a restore would bring back.
    """
    if plan.erased_seq == caller.session.erased_seq:
        return plan
    return make_plan(caller, plan.target, plan.base, plan.scope)


def _places(ids: npt.NDArray[np.bytes_], own: npt.NDArray[np.bytes_]) -> _Numbers:
    """Return where each id is in a column of ids, -1 if it is not."""
    if not len(own):
        return np.full(len(ids), -1, np.int64)
    order = np.argsort(own)
    found = order[np.minimum(own.searchsorted(ids, sorter=order), len(own) - 1)]
    return np.where(own[found] == ids, found, -1).astype(np.int64)


def _effects(
    then: pa.Table, now: pa.Table, then_at: _Numbers, now_at: _Numbers, *, has_vectors: bool
) -> npt.NDArray[np.uint8]:
    effects = np.zeros(len(then_at), np.uint8)
    effects[then_at < 0] = int(Effect.REMOVED)
    effects[now_at < 0] = int(Effect.BACK)
    both = np.flatnonzero((then_at >= 0) & (now_at >= 0))
    old, new = then.take(then_at[both]), now.take(now_at[both])
    # The same bytes under another `n` may have another vector; where there are none, nobody could tell them apart.
    edits = (*_EDITS, "n") if has_vectors else _EDITS
    # The strongest last: it holds.
    for effect, names in ((Effect.MOVED, PLACE_FIELDS), (Effect.MARKED, _MARKS), (Effect.EDITED, edits)):
        effects[both[_differ(old, new, names)]] = int(effect)
    return effects


def _differ(old: pa.Table, new: pa.Table, names: Iterable[str]) -> _Flags:
    """Return which rows differ in one of the columns."""
    found = np.zeros(len(old), dtype=bool)
    for name in names:
        a, b = old.column(name), new.column(name)
        if pa.types.is_list(a.type):
            found |= np.array([x != y for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)], dtype=bool)
            continue
        found |= pc.fill_null(pc.not_equal(a, b), False).to_numpy()
        found |= pc.xor(pc.is_null(a), pc.is_null(b)).to_numpy()
    return found


def _winners(ids: npt.NDArray[np.bytes_], then: pa.Table, then_at: _Numbers) -> dict[str, str | None]:
    there = np.flatnonzero(then_at >= 0)
    column = then.column("superseded_by").take(then_at[there])
    if column.null_count == len(column):
        return {}
    return dict(zip((bytes(one).decode() for one in ids[there]), column.to_pylist(), strict=True))


# -- scope -------------------------------------------------------------------------------------------------------------


def _sides(
    then: pa.Table, now: pa.Table, then_at: _Numbers, now_at: _Numbers, chosen: _Flags
) -> Iterator[tuple[int, list[Row]]]:
    """Yield the position of each chosen memory with its rows at the two moments."""
    positions = np.flatnonzero(chosen)
    for start in range(0, len(positions), BATCH):
        part = positions[start : start + BATCH]
        rows = zip(_rows(then, then_at[part]), _rows(now, now_at[part]), strict=True)
        for position, pair in zip(part.tolist(), rows, strict=True):
            yield position, [row for row in pair if row is not None]


def _choose(scope: Scope, chosen: _Flags, sides: Iterator[tuple[int, list[Row]]], outside: list[str]) -> None:
    """Take out what is not meant, and what the handle may not touch; note the latter."""
    for position, rows in sides:
        if not scope.means(rows):
            chosen[position] = False
        elif not all(map(scope.wall.matches, rows)):
            chosen[position] = False
            outside.append(rows[0].id)


def _rows(table: pa.Table, at: _Numbers) -> list[Row | None]:
    """Return the rows at some places of a table, None for -1."""
    there = at >= 0
    found = iter(to_rows(table.take(at[there])))
    return [next(found) if is_there else None for is_there in there.tolist()]


# -- keys --------------------------------------------------------------------------------------------------------------


def _keys(table: pa.Table, at: _Numbers) -> list[_Pair | None]:
    """Return namespace and key of the memories at some places, None for those without a key."""
    found: list[_Pair | None] = [None] * len(at)
    if table.column("key").null_count == len(table):
        return found
    there = np.flatnonzero(at >= 0)
    part = table.select(["namespace", "key"]).take(at[there])
    pairs = zip(part.column("namespace").to_pylist(), part.column("key").to_pylist(), strict=True)
    for position, (namespace, key) in zip(there.tolist(), pairs, strict=True):
        if key is not None:
            found[position] = (namespace, key)
    return found


def _groups(thens: Sequence[_Pair | None], nows: Sequence[_Pair | None]) -> _Numbers:
    """Return for each memory the first of those that it has to be brought back with."""
    parents = list(range(len(thens)))

    def first(position: int) -> int:
        while parents[position] != position:
            parents[position] = position = parents[parents[position]]
        return position

    holders = {pair: i for i, pair in enumerate(nows) if pair is not None and pair != thens[i]}
    for i, pair in enumerate(thens):
        if pair is not None and pair != nows[i] and pair in holders:
            one, other = sorted((first(i), first(holders[pair])))
            parents[other] = one
    return np.array([first(i) for i in range(len(parents))], np.int64)
