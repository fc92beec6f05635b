"""Stats: counts and sizes of a tenant."""

import os

from kiromi.errors import InvalidInput
from kiromi.operations.caller import Caller
from kiromi.reports.stats import StoreStats
from kiromi.times import now_micros

_COUNTS = """
SELECT (SELECT count(*) FROM memories),
       (SELECT count(*) FROM memories WHERE expires_at <= make_timestamptz(?)),
       (SELECT count(*) FROM history),
       (SELECT count(*) FROM contents),
       (SELECT coalesce(sum(c.size), 0)::BIGINT FROM memories m JOIN contents c USING (id, n)),
       (SELECT coalesce(sum(c.size), 0)::BIGINT FROM contents c ANTI JOIN memories m USING (id, n)),
       (SELECT count(*) FROM (SELECT DISTINCT scheme, partition FROM memories)),
       (SELECT count(*) FROM audit_log)
"""


def stats(caller: Caller) -> StoreStats:
    """Return counts and sizes of the caller's tenant; see ``Store.stats``."""
    if caller.scope.wanted:
        raise InvalidInput("stats are about the whole tenant: ask an unscoped handle")
    session, keeper = caller.session, caller.keeper
    with session.snapshot() as (view, cursor):
        counts = cursor.execute(_COUNTS, [now_micros()]).fetchall()[0]
        pending = len(session.pending.unsettled)
    memories, expired, history, contents, size, attic, partitions, entries = counts
    return StoreStats(
        tenant=session.tenant,
        root=session.root.url,
        scheme=session.schemes[session.active_scheme].template,
        seq=view.seq,
        memories=memories,
        expired=expired,
        history=history,
        contents=contents,
        size_bytes=size,
        attic_bytes=attic,
        partitions=partitions,
        pending=pending,
        audit_entries=entries,
        catalog_bytes=os.stat(session.catalog_path).st_size,
        schemes=len(session.schemes),
        archive=None if keeper is None else keeper.url,
        archive_seq=None if keeper is None else keeper.seq,
        archive_problem=None if keeper is None else keeper.problem,
    )
