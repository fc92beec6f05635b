"""Partitions: the tree that the schemes make of the live memories, with counts and sizes."""

from collections.abc import Mapping
from typing import Any

from kiromi.errors import InvalidInput
from kiromi.model import PartitionInfo
from kiromi.operations.caller import Caller
from kiromi.operations.within import partition_texts


def partitions(caller: Caller, within: Mapping[str, Any] | None, depth: int | None) -> list[PartitionInfo]:
    """Return one entry for each partition path, cut at ``depth`` levels; see ``Store.partitions``."""
    if depth is not None and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 1):
        raise InvalidInput(f"depth={depth!r} is not a whole number of at least 1, or None for whole paths")
    scope = caller.within(within)
    with caller.reading() as (_, cursor):
        condition = scope.condition(cursor, caller.session.schemes)
        found = cursor.execute(
            "SELECT m.scheme, m.partition, count(*), sum(c.size)::BIGINT FROM memories m JOIN contents c USING (id, n)"
            f" WHERE {condition.sql} GROUP BY ALL ORDER BY m.partition, m.scheme",
            condition.parameters,
        ).fetchall()
    nodes: dict[str, PartitionInfo] = {}
    for number, path, count, size in found:
        scheme = caller.session.schemes[number]
        levels = path.split("/")[:depth]
        cut = "/".join(levels)
        texts = partition_texts(scheme, path)
        names = [segment.name for segment in scheme.segments[: len(levels)] if segment.field is not None]
        former = nodes.get(cut)
        nodes[cut] = PartitionInfo(
            path=cut,
            values={name: texts[name] for name in names},
            count=count + (former.count if former else 0),
            size_bytes=size + (former.size_bytes if former else 0),
        )
    return [nodes[path] for path in sorted(nodes)]
