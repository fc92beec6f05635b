"""Recover: make a lost catalog anew from archives, ``data/`` and ``attic/``.

Only where there is no catalog. Without ``dry_run=False`` nothing is written: the plan is made in a temporary catalog.
No blob is touched either way; what does not lie where it belongs is left to the next opening, which settles it as after
a kill. The catalog gets its name last, as after an import.
"""

import hashlib
import os
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.blobs.base import Blobs
from kiromi.blobs.local import LocalBlobs
from kiromi.catalog.audit import genesis
from kiromi.catalog.building import built, insert, run_with, write_meta, write_schemes
from kiromi.catalog.changes import Head
from kiromi.catalog.database import Meta
from kiromi.catalog.rows import PENDING_SCHEMA, ROW_SCHEMA, Row, to_table
from kiromi.errors import AlreadyExists, IntegrityError, InvalidInput, NotFound
from kiromi.ids import IdSource
from kiromi.operations.archive_import import DEFAULT_WAIT_S, held_place, show
from kiromi.operations.arriving import record_arrival
from kiromi.operations.opening import check_actor
from kiromi.operations.recovering_cases import Clock, Outcome, Schemes, count_former, decide
from kiromi.operations.recovering_find import Findings, changed_at, epoch_of, look, read_facts
from kiromi.operations.unpacking import (
    check_audit_follows,
    head_of,
    retire,
    take,
    unpack,
    unpack_nothing,
    unpack_vectors,
)
from kiromi.partition import Scheme, check_name
from kiromi.portable.archive.chain import Archive, open_chain
from kiromi.reports.archives import RecoverReport
from kiromi.session.location import Root, resolve_root
from kiromi.session.remains import has_blobs, refuse_unfinished_import
from kiromi.times import now_micros

_READ_BYTES = 16 * 2**20
_AUDITED = ("archive_seq", "whole", "changed", "back", "new", "deleted", "kept", "lost", "former_lost")
_HISTORY = pa.schema([*ROW_SCHEMA, ("end_seq", pa.int64())])
_KEY_TAKEN = """
UPDATE memories SET key = NULL WHERE key IS NOT NULL AND id IN (SELECT id FROM differing) AND id NOT IN (
    SELECT arg_min(m.id, (d.id IS NOT NULL, m.id)) FROM memories m LEFT JOIN differing d USING (id)
    WHERE m.key IS NOT NULL GROUP BY m.namespace, m.key)
"""


def recover(
    root: str | os.PathLike[str],
    *,
    tenant: str = "default",
    archives: Sequence[str | os.PathLike[str]] = (),
    schemes: Sequence[str] = (),
    storage_options: Mapping[str, Any] | None = None,
    catalog: str | os.PathLike[str] | None = None,
    archive_options: Mapping[str, Any] | None = None,
    actor: str = "recover",
    wait: float = DEFAULT_WAIT_S,
    dry_run: bool = True,
) -> RecoverReport:
    """Make the catalog of a store anew that has lost it, from archives and from the blobs that are there.

    What the archive knows and lies where it says is taken whole. Of the rest the path says the attributes, the file its
    time, and the report what could not be known. No content that is found is lost, and none is moved by this.

    Args:
        root: as for :func:`kiromi.open`.
        tenant: whose catalog was lost.
        archives: a full archive and its increments in order, or the folder that ``archive=`` of :func:`kiromi.open`
            keeps; none if there is none.
        schemes: templates of paths that the archive does not know; needed without one, and the first is then active.
        storage_options: passed to the fsspec driver of ``root``.
        catalog: as for :func:`kiromi.open`.
        archive_options: passed to the fsspec driver of the archives; those of ``root`` if not said.
        actor: whom the audit log names.
        wait: seconds to wait for another process to let go of the place.
        dry_run: only report what would be done (the default).

    Raises:
        AlreadyExists: there is a catalog.
        NotFound: there are no blobs, or a URL holds no finished archive.
        IntegrityError: a part of an archive is damaged, or the blobs are another store's.
        InvalidInput: an argument is refused, or there is neither an archive nor a scheme.
    """
    started = time.monotonic()
    check_name(tenant, "tenant")
    check_actor(actor)
    location = resolve_root(root, storage_options, catalog)
    if location.catalog_path(tenant).exists():
        raise AlreadyExists(f"there is a catalog at {location.catalog_path(tenant)}: nothing is lost", tenant=tenant)
    if isinstance(schemes, str) or not (archives or schemes):
        raise InvalidInput("recover needs an archive, or the schemes of the paths, as a list of templates")
    templates = [Scheme.parse(template).template for template in schemes]
    refuse_unfinished_import(location, tenant)
    blobs = location.blobs(tenant)
    named = [archives] if isinstance(archives, str | os.PathLike) else list(archives)
    chain = open_chain(named, storage_options if archive_options is None else archive_options) if named else []
    _check_there(location, tenant, blobs, chain)
    recovery = _Recovery(location, tenant, chain, templates, actor, blobs, dry_run, started)
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="kiromi-recover-") as folder:
            return recovery.build(Path(folder) / "catalog.duckdb")
    with held_place(location, tenant, wait):
        path = location.catalog_path(tenant)
        temporary = path.with_name(f"{path.name}.recovering")
        report = recovery.build(temporary)
        show(path, temporary)
        return report


def _check_there(location: Root, tenant: str, blobs: Blobs, chain: Sequence[Archive]) -> None:
    """Refuse to recover where there is nothing, or from archives that are damaged."""
    if not has_blobs(blobs) and not (chain and not chain[-1].manifest.counts["memories"]):
        raise NotFound(
            f"{location.url} (tenant {tenant!r}) has no blobs to recover: an archive with contents can be imported",
            root=location.url,
            tenant=tenant,
        )
    for archive in chain:
        archive.check_parts()


@dataclass(slots=True)
class _Recovery:
    """One recovery, from the archives and blobs to a catalog under another name."""

    location: Root
    tenant: str
    chain: Sequence[Archive]
    templates: Sequence[str]
    actor: str
    blobs: Blobs
    dry_run: bool
    started: float

    def build(self, path: Path) -> RecoverReport:
        """Build the catalog at ``path`` and say what it holds."""
        last = self.chain[-1].manifest if self.chain else None
        epoch, claim = epoch_of(self.blobs)
        store_id = last.store_id if last else str(claim["store_id"]) if claim else IdSource().make()
        if claim is not None and claim.get("store_id") != store_id:
            raise IntegrityError(
                f"the blobs at {self.location.url} are of store {claim.get('store_id')}, the archive is of {store_id}"
            )
        with built(path) as catalog:
            if self.chain:
                unpack(catalog, self.chain)
            else:
                unpack_nothing(catalog)
            with catalog.transaction() as cursor:
                report = self._fill(cursor, look(cursor, self.blobs), store_id, epoch)
            if self.chain:
                unpack_vectors(catalog, self.chain)
        return report

    def _fill(self, cursor: duckdb.DuckDBPyConnection, found: Findings, store_id: str, epoch: int) -> RecoverReport:
        last = self.chain[-1].manifest if self.chain else None
        if last is not None:
            check_audit_follows(cursor, last)
        schemes = self._schemes()
        seq = last.seq if last else 0
        clock = Clock(seq, seq + 1 + max(map(count_former, found.cases), default=0))
        times = _Times(self.blobs)
        outcomes = [decide(case, schemes, clock, times.of) for case in found.cases]
        self._read_fresh(outcomes)
        former_lost = _replace(cursor, outcomes)
        take(cursor)
        cursor.execute(_KEY_TAKEN)
        retire(cursor, store_id)
        snapshots_lost = 0
        if former_lost:
            ((snapshots_lost,),) = cursor.execute("DELETE FROM snapshots").fetchall()
        self._write_schemes(cursor, schemes)
        report = self._report(cursor, found, outcomes, store_id, clock, former_lost, snapshots_lost)
        created_at = last.store_created_at if last else min(times.seen, default=now_micros())
        head = head_of(last) if last else Head(0, created_at, genesis(store_id), 0)
        is_exact = last is not None and not former_lost and clock.final == seq + 1
        facts = {name: getattr(report, name) for name in _AUDITED}
        write_meta(
            cursor,
            Meta(store_id, IdSource().make(), self.tenant, schemes.fold_case, created_at),
            record_arrival(cursor, head, clock.final, "recover", self.actor, facts),
            gc_floor=last.gc_floor if last is not None and is_exact else clock.final,
            epoch=(epoch + 1, secrets.token_hex(16)) if epoch else (0, None),
        )
        return report

    def _schemes(self) -> Schemes:
        last = self.chain[-1].manifest if self.chain else None
        known = dict(last.schemes) if last else {}
        folds = last.fold_case if last else False
        if last is None and not self.dry_run and isinstance(self.blobs, LocalBlobs):
            folds = self.blobs.folds_case()
        schemes = Schemes(known, last.active_scheme if last else 1, folds)
        for template in self.templates:
            schemes.number_of(template)
        return schemes

    def _write_schemes(self, cursor: duckdb.DuckDBPyConnection, schemes: Schemes) -> None:
        last = self.chain[-1].manifest if self.chain else None
        before = last.schemes if last else {}
        fresh = {number: template for number, template in schemes.templates.items() if number not in before}
        write_schemes(cursor, fresh, [] if last else [(0, 1, None)], now_micros())

    def _read_fresh(self, outcomes: Iterable[Outcome]) -> None:
        """Put size and SHA-256 of what the archive does not know into the rows."""
        by_path = {entry.path: (outcome, n) for outcome in outcomes for n, entry in outcome.fresh.items()}
        paths = [(path, outcome.fresh[n].size) for path, (outcome, n) in by_path.items()]
        for path, data in read_facts(self.blobs, paths, _READ_BYTES):
            outcome, n = by_path[path]
            facts: dict[str, Any] = {"size": len(data), "sha256": hashlib.sha256(data).digest()}
            if outcome.live is not None and outcome.live.n == n:
                outcome.live = outcome.live._replace(**facts)
            outcome.closed = [(row._replace(**facts) if row.n == n else row, end) for row, end in outcome.closed]

    def _report(
        self,
        cursor: duckdb.DuckDBPyConnection,
        found: Findings,
        outcomes: Sequence[Outcome],
        store_id: str,
        clock: Clock,
        former_lost: int,
        snapshots_lost: int,
    ) -> RecoverReport:
        told = tuple(outcome.told for outcome in outcomes if outcome.told is not None)
        counts = Counter(one.outcome for one in told)
        quiet = sum(outcome.told is None and outcome.live is not None for outcome in outcomes)
        ((former,),) = cursor.execute("SELECT count(*) FROM history").fetchall()
        return RecoverReport(
            applied=not self.dry_run,
            store_id=store_id,
            archive_seq=clock.seq if self.chain else None,
            seq=clock.final,
            whole=found.whole + quiet,
            changed=counts["changed"],
            back=counts["back"],
            new=counts["new"],
            deleted=counts["deleted"],
            kept=counts["kept"],
            lost=counts["lost"],
            former=former,
            former_lost=former_lost,
            snapshots_lost=snapshots_lost,
            strangers=tuple(sorted(found.strangers, key=ascii)),
            damaged=found.damaged,
            memories=told,
            seconds=time.monotonic() - self.started,
        )


class _Times:
    """The times of files, each looked up once."""

    def __init__(self, blobs: Blobs) -> None:
        self.seen: list[int] = []
        self._blobs = blobs

    def of(self, path: str) -> int:
        """Return when a file was last changed."""
        self.seen.append(changed_at(self._blobs, path))
        return self.seen[-1]


def _replace(cursor: duckdb.DuckDBPyConnection, outcomes: Sequence[Outcome]) -> int:
    """Put what was decided in the place of what came; return how many closed versions of the archive are gone."""
    cursor.execute("DELETE FROM came_memories WHERE id IN (SELECT id FROM differing)")
    ((lost,),) = cursor.execute(
        "DELETE FROM came_history h WHERE h.id NOT IN (SELECT id FROM differing)"
        " AND NOT EXISTS (SELECT 1 FROM listed l WHERE l.id = h.id AND l.n = h.n)"
    ).fetchall()
    cursor.execute("DELETE FROM came_history WHERE id IN (SELECT id FROM differing)")
    live: list[Row] = [outcome.live for outcome in outcomes if outcome.live is not None]
    closed = [(*row, end) for outcome in outcomes for row, end in outcome.closed]
    if live:
        insert(cursor, "came_memories", to_table(live, ROW_SCHEMA))
    if closed:
        insert(cursor, "came_history", to_table(closed, _HISTORY))
    pending = [
        (one.id, n, list(places))
        for outcome in outcomes
        for one in [outcome.live or (outcome.closed[0][0] if outcome.closed else None)]
        if one is not None
        for n, places in outcome.pending.items()
    ]
    if pending:
        run_with(cursor, to_table(pending, PENDING_SCHEMA), "INSERT INTO pending BY NAME SELECT * FROM incoming")
    return int(lost) + sum(outcome.former_lost for outcome in outcomes)
