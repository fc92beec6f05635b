"""What keeps a store sound: the audit log, checks and figures."""

import builtins
from collections.abc import Callable

from kiromi.model import AuditEntry
from kiromi.operations import history as _history
from kiromi.operations import stats as _stats
from kiromi.operations import verify as _verify
from kiromi.reports.checking import AuditReport, VerifyReport
from kiromi.reports.stats import StoreStats
from kiromi.store.handle import Handle


class Upkeep(Handle):
    """Checks and measures; a part of :class:`kiromi.Store`."""

    def audit(self, since: int = 0, *, id: str | None = None, limit: int | None = None) -> builtins.list[AuditEntry]:  # noqa: A002
        """Return audit entries after a seq, oldest first, of one memory if ``id`` is given, at most ``limit``."""
        with self._call() as caller:
            return _history.audit(caller, since, id, limit)

    def audit_verify(self, *, expect: str | None = None) -> AuditReport:
        """Check the whole audit chain, and the rows' seqs and the recorded head against it.

        Args:
            expect: a head that was kept earlier (``AuditReport.head``); it must still be in the chain.
        """
        with self._call() as caller:
            return _verify.audit_verify(caller, expect)

    def verify(
        self,
        *,
        read_data: bool = False,
        fix: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> VerifyReport:
        """Compare catalog and blobs both ways, sizes, paths against schemes, pending rows, and the audit chain.

        Args:
            read_data: also read every blob and compare its SHA-256: costs reading all bytes.
            fix: repair what can be derived; never removes the last copy of anything.
            on_progress: called with (blobs done, blobs in all).

        Without ``read_data`` it costs one listing of ``data/`` and ``attic/`` and a scan of the catalog.
        """
        with self._call() as caller:
            return _verify.verify(caller, read_data=read_data, fix=fix, on_progress=on_progress)

    def stats(self) -> StoreStats:
        """Return counts and sizes of the tenant."""
        with self._call() as caller:
            return _stats.stats(caller)
