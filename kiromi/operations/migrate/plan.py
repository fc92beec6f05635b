"""Plan: where every live memory in scope would go, worked out from the published view in bounded memory."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from kiromi.catalog.rows import ID_TYPE, id_matrix, to_rows, to_table
from kiromi.catalog.view import View
from kiromi.errors import IntegrityError
from kiromi.operations.caller import Caller
from kiromi.operations.migrate.mapping import Mapper, Place, Rule, apply_mapper, wants_content
from kiromi.operations.migrate.targets import SCHEMA, Targets
from kiromi.operations.present import info_of, memory_of
from kiromi.reports.migration import Layout, MigrationCost, PartitionSize, Relocation, Unmapped
from kiromi.session.contents import read_blob

CHUNK = 10_000
_MAPPED = 500
"""Memories whose contents a mapper may have in memory at once."""
_SAMPLES = 10
_SHOWN = 1_000
_REQUESTS = 5
"""To an object store for one blob: look at the goal and the source, copy, look at the copy, delete."""
OnProgress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Drawn:
    """What was found out about the memories in scope."""

    seq: int
    targets: Targets = field(default_factory=Targets)
    before: dict[str, list[int]] = field(default_factory=dict)
    after: dict[str, list[int]] = field(default_factory=dict)
    samples: list[Relocation] = field(default_factory=list)
    unmapped: dict[str, Unmapped] = field(default_factory=dict)
    moved: int = 0
    unmoved: int = 0
    size_bytes: int = 0
    changed: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=ID_TYPE))
    """What changed since the operation after which it was asked to look, in scope or not."""

    def layouts(self) -> tuple[Layout, Layout]:
        """Return how the memories are spread before and after."""
        return _layout(self.before), _layout(self.after)

    def cost(self, *, is_local: bool) -> MigrationCost:
        """Return what moving them would cost."""
        if is_local:
            return MigrationCost(self.moved, 0, 0, 0)
        return MigrationCost(0, self.moved, self.moved * _REQUESTS, self.size_bytes)


class Kept:
    """What a plan keeps of how it was made, for that very plan.

    A plan that differs from it, or that left the process, is worked out anew.
    """

    __slots__ = ("_digest", "_drawn")

    def __init__(self, drawn: Drawn, digest: str) -> None:
        self._drawn = drawn
        self._digest = digest

    def of(self, digest: str) -> Drawn | None:
        """Return what was found out, if it is of the plan with that digest."""
        return self._drawn if digest == self._digest else None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Kept":
        return self  # nothing changes it, and a file that is open cannot be copied

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


def draw(
    caller: Caller,
    rule: Rule,
    number: int | None,
    mapper: Mapper | None,
    within: Mapping[str, Any] | None,
    on_progress: OnProgress,
    since: int | None = None,
) -> Drawn:
    """Work out where the live memories in scope go.

    Args:
        caller: who asks.
        rule: what decides it.
        number: of the rule's scheme, if the store has it already.
        mapper: called once for each memory, outside of all locks.
        within: the scope.
        on_progress: called with ``plan``, memories done, and in all.
        since: look only at what changed after this operation.
    """
    with caller.session.lease:
        view, ids, changed = _chosen(caller, within, since)
    drawn = Drawn(view.seq, changed=changed)
    for start in range(0, len(ids), CHUNK):
        table = view.table(ids[start : start + CHUNK])
        mapped = {} if mapper is None else _mapped(caller, mapper, table)
        _note(drawn, table, rule.places(table, mapped), number)
        on_progress("plan", min(start + CHUNK, len(ids)), len(ids))
    return drawn


def _chosen(caller: Caller, within: Mapping[str, Any] | None, since: int | None) -> tuple[View, np.ndarray, np.ndarray]:
    """Return a view, the ids of the memories in scope that it shows, in order, and all that changed after ``since``."""
    session = caller.session
    nothing = np.empty(0, dtype=ID_TYPE)
    if not within and since is None:
        view = session.view.compacted()
        return view, view.ids(), nothing
    scope = caller.within(within)
    with session.snapshot() as (view, cursor):
        condition = scope.condition(cursor, session.schemes)
        found = cursor.sql(
            f"SELECT m.id, ({condition.sql}) AS is_inside FROM memories m WHERE m.begin_seq > ? ORDER BY m.id",
            params=[*condition.parameters, -1 if since is None else since],
        ).to_arrow_table()
    ids = id_matrix(found.column("id"))
    inside = ids[found.column("is_inside").to_numpy().astype(bool)]
    return view.compacted(), inside, nothing if since is None else ids


def _mapped(caller: Caller, mapper: Mapper, table: pa.Table) -> dict[str, Mapping[str, Any] | str]:
    """Return what a mapper gives for each row, or why it gives nothing."""
    session = caller.session
    found: dict[str, Mapping[str, Any] | str] = {}
    has_content = wants_content(mapper)
    for start in range(0, len(table), _MAPPED):
        for row in to_rows(table.slice(start, _MAPPED)):
            if not has_content:
                found[row.id] = apply_mapper(mapper, info_of(row, session.schemes))
                continue
            try:
                with session.lease:
                    data = read_blob(session, row)
            except IntegrityError as error:
                found[row.id] = f"its content cannot be read: {error.message}"
                continue
            found[row.id] = apply_mapper(mapper, memory_of(row, data, session.schemes))
    return found


def _note(drawn: Drawn, table: pa.Table, places: list[Place | str], number: int | None) -> None:
    """Take the rows of a chunk into account, and keep the targets of those that are to change."""
    names = ("id", "scheme", "partition", "size", "begin_seq")
    ids, schemes, paths, sizes, seqs = (table.column(name).to_pylist() for name in names)
    targets: list[tuple[Any, ...]] = []
    for memory_id, scheme, path, size, seq, place in zip(ids, schemes, paths, sizes, seqs, places, strict=True):
        _count(drawn.before, path, size)
        if isinstance(place, str):
            _count(drawn.after, path, size)
            drawn.unmapped[memory_id] = Unmapped(memory_id, path, place)
            targets.append((memory_id, seq, None, None, place))
            continue
        _count(drawn.after, place.partition, size)
        if place.partition == path:
            drawn.unmoved += 1
            if scheme == number and place.attributes is None:
                continue
        else:
            drawn.moved += 1
            drawn.size_bytes += size
            if len(drawn.samples) < _SAMPLES and (path, place.partition) not in _pairs(drawn.samples):
                drawn.samples.append(Relocation(memory_id, path, place.partition))
        targets.append((memory_id, seq, place.partition, place.attributes, None))
    drawn.targets.add(to_table(targets, SCHEMA))


def _count(sizes: dict[str, list[int]], path: str, size: int) -> None:
    found = sizes.get(path)
    if found is None:
        sizes[path] = [1, size]
    else:
        found[0] += 1
        found[1] += size


def _pairs(samples: list[Relocation]) -> Iterator[tuple[str, str]]:
    return ((sample.source, sample.target) for sample in samples)


def _layout(found: dict[str, list[int]]) -> Layout:
    sizes = sorted((PartitionSize(path, count, size) for path, (count, size) in found.items()), key=_rank)
    shown = sorted(sizes[-_SHOWN:], key=lambda size: size.path)
    return Layout(
        partitions=len(sizes),
        count=sum(size.count for size in sizes),
        size_bytes=sum(size.size_bytes for size in sizes),
        largest=sizes[-1] if sizes else None,
        smallest=sizes[0] if sizes else None,
        median=median(size.count for size in sizes) if sizes else 0.0,
        shown=tuple(shown),
    )


def _rank(size: PartitionSize) -> tuple[int, int, str]:
    return size.count, size.size_bytes, size.path
