"""The calls that read what views of the past do not show: the events up to now, and SQL over all that there is."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from kiromi.model import Change
from kiromi.operations import history as _history
from kiromi.operations import sql as _sql
from kiromi.store.handle import Handle


class Querying(Handle):
    """Asks for events and by SQL; a part of :class:`kiromi.Store`."""

    def changes(self, since: int = 0) -> Iterator[Change]:
        """Yield every event after a seq, oldest first, up to now.

        A consumer that remembers the last seq it handled, and asks from there, misses nothing and sees nothing twice.
        """
        return _history.changes(self._caller(), since)

    def sql(self, query: str, parameters: Sequence[Any] | None = None) -> pa.Table:
        """Run one SELECT over the documented views and return its result.

        The views: ``memories``, ``history``, ``contents``, ``audit_log``, ``schemes``, ``partitions``. Nothing else
        can be read: no files, no network, no other tables; nothing can be written. A scoped handle's views hold its
        scope only.

        Raises:
            InvalidInput: it is not exactly one SELECT over these views, or DuckDB refuses it.
        """
        with self._call() as caller:
            return _sql.run_sql(caller, query, parameters)
