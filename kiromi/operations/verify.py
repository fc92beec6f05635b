"""Verify: is what lies on disk what the catalog says, and is the catalog what its own rules say?

Runs beside the readers and writers of this process, and reports nothing that is merely in motion; another process
waits. Costs one walk over the blobs and one scan of the catalog, and with ``read_data`` the reading of every byte;
memory grows by a path per blob. Repairing never removes the last copy of anything, nor what the catalog does not know.
"""

import re
import time
from collections.abc import Callable

from kiromi.blobs.local import LocalBlobs
from kiromi.errors import InvalidInput
from kiromi.operations.caller import Caller
from kiromi.operations.checks.audit import check_audit
from kiromi.operations.checks.blobs import check_bytes, judge, pending_problems, retry_pending
from kiromi.operations.checks.listing import compare, list_objects
from kiromi.operations.checks.rows import check_rows
from kiromi.reports.checking import AuditReport, VerifyReport
from kiromi.session.session import Session

_HEAD = re.compile("[0-9a-fA-F]{64}")


def audit_verify(caller: Caller, expect: str | None) -> AuditReport:
    """Check the audit chain; see ``Store.audit_verify``."""
    _check_unscoped(caller)
    if expect is not None and (not isinstance(expect, str) or _HEAD.fullmatch(expect) is None):
        raise InvalidInput(f"expect={expect!r} is not a head that audit_verify gave (64 hexadecimal digits)")
    with caller.session.snapshot() as (_, cursor):
        return check_audit(cursor, None if expect is None else bytes.fromhex(expect))


def verify(
    caller: Caller, *, read_data: bool, fix: bool, on_progress: Callable[[int, int], None] | None
) -> VerifyReport:
    """Compare catalog and blobs both ways; see ``Store.verify``."""
    _check_unscoped(caller)
    if fix:
        caller.check_writable()
    started = time.monotonic()
    session = caller.session
    problems = retry_pending(session) if fix else []

    # Walk first: whatever is committed meanwhile is then known to the scan.
    listing = list_objects(session)
    with session.snapshot() as (_, cursor):
        memories, blobs, last_id = cursor.execute(
            "SELECT (SELECT count(*) FROM memories), count(*), max(id) FROM contents"
        ).fetchall()[0]
        in_rows = list(check_rows(cursor, session.schemes, fold_case=session.meta.fold_case))
        audit = check_audit(cursor)
        suspicions = compare(cursor, listing)
    progress = _Progress(blobs, on_progress)

    # Judge what differs, as it is now; read the rest.
    of_blobs, astray = judge(session, suspicions, fix=fix, left_alone={problem.subject for problem in in_rows})
    if read_data and last_id is not None:
        of_blobs += check_bytes(session, last_id, astray, progress.advance)
    in_motion = list(pending_problems(session).values())
    if fix:
        _tidy(session, is_changed=any(problem.fixed for problem in of_blobs))
    progress.end()
    return VerifyReport(
        problems=(*problems, *in_rows, *audit.problems, *of_blobs, *in_motion),
        memories=memories,
        blobs=blobs,
        bytes_read=progress.bytes_read,
        audit_entries=audit.entries,
        seconds=time.monotonic() - started,
    )


class _Progress:
    """Counts blobs and bytes, and tells the caller."""

    def __init__(self, total: int, tell: Callable[[int, int], None] | None) -> None:
        self.bytes_read = 0
        self._done = 0
        self._total = total
        self._tell = tell
        self.advance(0, 0)

    def advance(self, blobs: int, size: int) -> None:
        """Note that some more were done; those that came while it ran do not go beyond the total."""
        self._done = min(self._done + blobs, self._total)
        self.bytes_read += size
        if self._tell is not None:
            self._tell(self._done, self._total)

    def end(self) -> None:
        """Note that all are done."""
        self.advance(self._total, 0)


def _check_unscoped(caller: Caller) -> None:
    if caller.scope.wanted:
        raise InvalidInput("verify and audit_verify are about the whole tenant: ask an unscoped handle")


def _tidy(session: Session, *, is_changed: bool) -> None:
    """Make repairs durable, and remove empty folders; these are no problem, only in the way of people."""
    with session.writer:
        if isinstance(session.blobs, LocalBlobs):
            session.blobs.remove_empty_folders()
        if is_changed:
            with session.failing():
                session.blobs.sync()
