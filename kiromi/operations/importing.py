"""Import: make the memories of one source what a folder or file says, by key.

Two passes. The first reads, screens and plans every record against the present state, in operations that are thrown
away, so it finds whatever could be refused before anything is written. The second plans the same again upon the state
that it then finds, and commits batch by batch; each batch is one operation. What the first pass found to be written is
kept in memory if it is small; otherwise the source is read and checked once more, because files may have changed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from kiromi.errors import InvalidInput, KiromiError
from kiromi.operations.append import MAX_BATCH_BYTES
from kiromi.operations.caller import Caller
from kiromi.operations.delete import plan_delete
from kiromi.operations.drafting import screened
from kiromi.operations.embedding import Embedded, is_embedded_with_title
from kiromi.operations.models import prepare_drafts
from kiromi.operations.upsert import Effect, OnBad, plan_upserts
from kiromi.portable.formats import Source
from kiromi.portable.source import BadRecord, SourceRecord
from kiromi.reports.transfer import ImportReport
from kiromi.reports.writing import BatchReport
from kiromi.session.commit import refuse_within_transaction, transaction
from kiromi.session.operation import Operation
from kiromi.times import now_micros

HELD_BYTES = 64 << 20
"""How much of what is to be written the first pass keeps for the second."""
_RECORD_BYTES = 2_048
"""What a record needs in memory besides its content, roughly."""
_SHOWN = 3

OnBatch: TypeAlias = Callable[[BatchReport], None]
OnProgress: TypeAlias = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to import."""

    prune: bool
    on_error: Literal["abort", "skip"]
    dry_run: bool
    batch_size: int
    on_batch: OnBatch | None
    on_progress: OnProgress | None

    def check(self) -> None:
        """Refuse what no import can be asked for.

        Raises:
            InvalidInput: ``on_error`` or ``batch_size`` is not of its form.
        """
        if self.on_error not in ("abort", "skip"):
            raise InvalidInput(f"on_error={self.on_error!r}; accepted: 'abort', 'skip'")
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise InvalidInput(f"batch_size={self.batch_size!r} is not a whole number of at least 1")


def import_from(caller: Caller, source: Source, options: Options) -> ImportReport:
    """Upsert every record of a source by its key or id; see ``Store.import_from``."""
    options.check()
    if not options.dry_run:
        caller.check_writable()
        refuse_within_transaction(caller.session)

    # Pass 1: read and plan everything, write nothing.
    bad: list[BadRecord] = []
    reading = _Reading(caller, source, bad.append)
    tally = _Tally()
    held = _rehearse(caller, reading, bad.append, options, tally)
    if bad and options.on_error == "abort":
        raise _refusal(source, reading.count, bad)
    if options.prune:
        _check_prunable(source, bad)
    if options.dry_run:
        if options.prune:
            tally.pruned = len(_disappeared(caller, source, reading.keys, bad))
        return tally.report(reading, bad, applied=False)

    # Pass 2: commit in batches. Each is durable when it is reported.
    present = reading.keys
    if held is None:
        bad = []
    on_bad = _on_late_bad(options, bad)
    done = _Tally()
    try:
        if held is None:
            again = _Reading(caller, source, on_bad)
            _commit(caller, again.records(), on_bad, options, done, reading.count)
            present = {**present, **again.keys}
            reading = again
        else:
            done.unchanged = tally.unchanged
            _commit(caller, held, on_bad, options, done, len(held))
        if options.prune:
            _check_prunable(source, bad)
            _prune(caller, _disappeared(caller, source, present, bad), options, done)
    except InvalidInput as error:
        raise _interrupted(error, source, done) from error
    return done.report(reading, bad, applied=True)


@dataclass(slots=True)
class _Tally:
    """What was done so far, or would be."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    pruned: int = 0
    batches: int = 0
    first_seq: int | None = None
    last_seq: int | None = None

    def count(self, effects: Iterable[Effect]) -> None:
        found = Counter(effects)
        self.added += found["added"]
        self.changed += found["changed"]
        self.unchanged += found["unchanged"]

    def acknowledge(self, seq: int, ids: tuple[str, ...], on_batch: OnBatch | None) -> None:
        self.batches += 1
        self.first_seq, self.last_seq = self.first_seq or seq, seq
        if on_batch is not None:
            on_batch(BatchReport(self.batches, seq, ids))

    def report(self, reading: "_Reading", bad: Sequence[BadRecord], *, applied: bool) -> ImportReport:
        return ImportReport(
            applied=applied,
            namespace=reading.source.namespace,
            read=reading.count,
            added=self.added,
            changed=self.changed,
            unchanged=self.unchanged,
            pruned=self.pruned,
            skipped=tuple((record.position, record.reason) for record in bad),
            links_ignored=reading.links,
            batches=self.batches,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
        )


class _Reading:
    """One reading of the source: its records that may be stored, and the keys and ids that were there."""

    def __init__(self, caller: Caller, source: Source, on_bad: OnBad) -> None:
        self.source = source
        self.count = 0
        self.links = 0
        self.keys: dict[tuple[str, str], str] = {}
        """Where each (namespace, key) stands, those of refused records included."""
        self._ids: dict[str, str] = {}
        self._caller = caller
        self._on_bad = on_bad

    def records(self) -> Iterator[SourceRecord]:
        """Yield the records as the guards let them pass; report those that are bad on their own."""
        for found in self.source.read():
            self.count += 1
            checked = found if isinstance(found, BadRecord) else self._check(found)
            if isinstance(checked, BadRecord):
                self._on_bad(checked)
            else:
                yield checked

    def _check(self, record: SourceRecord) -> SourceRecord | BadRecord:
        self.links += len(record.links)
        try:
            draft = screened(self._caller, record.draft)
        except (KiromiError, ValueError) as error:
            if record.draft.key is not None:
                self.keys.setdefault((record.draft.namespace, record.draft.key), record.position)
            return BadRecord(record.position, str(error))
        if draft.key is not None:
            pair = (draft.namespace, draft.key)
            if pair in self.keys:
                return BadRecord(record.position, f"the key {draft.key!r} is that of {self.keys[pair]} already")
            self.keys[pair] = record.position
        if draft.id is not None:
            if draft.id in self._ids:
                return BadRecord(record.position, f"the id {draft.id} is that of {self._ids[draft.id]} already")
            self._ids[draft.id] = record.position
        return record if draft is record.draft else replace(record, draft=draft)


def _rehearse(
    caller: Caller, reading: _Reading, on_bad: OnBad, options: Options, tally: _Tally
) -> list[SourceRecord] | None:
    """Plan every record and drop the plans; return what is to be written, or None if that is too much to keep."""
    session = caller.session
    looking = replace(caller, embeds=False)
    held: list[SourceRecord] | None = []
    held_bytes = 0
    for batch in _batches(reading.records(), options.batch_size):
        with session.lease:  # for a batch and not for all: another process may have its turn in between
            planned = plan_upserts(looking, _scratch(caller), batch, on_bad)
        tally.count(plan.effect for plan in planned)
        for plan in planned:
            if held is not None and plan.effect != "unchanged":
                held.append(plan.record)
                held_bytes += len(plan.record.draft.content) + _RECORD_BYTES
                held = held if held_bytes <= HELD_BYTES else None
        if options.on_progress is not None:
            options.on_progress(reading.count, None)
    return held


def _commit(
    caller: Caller, records: Iterable[SourceRecord], on_bad: OnBad, options: Options, tally: _Tally, total: int
) -> None:
    """Write records in batches of one operation each."""
    done = 0
    for batch in _batches(records, options.batch_size):
        prepared = _prepare(caller, batch)
        # Alone in its commit: a write of another thread in the same one would not be seen by the look-up of the keys.
        with caller.session.lease, transaction(caller.session, caller.context) as operation:
            planned = plan_upserts(caller, operation, batch, on_bad, prepared)
        tally.count(plan.effect for plan in planned)
        written = tuple(plan.id for plan in planned if plan.effect != "unchanged")
        if written:
            tally.acknowledge(operation.seq, written, options.on_batch)
        done += len(batch)
        if options.on_progress is not None:
            options.on_progress(done, total)


def _scratch(caller: Caller) -> Operation:
    """Return an operation that is only looked at."""
    return Operation(caller.session, caller.session.view.seq + 1, now_micros(), caller.context)


def _prepare(caller: Caller, batch: Sequence[SourceRecord]) -> dict[str, Embedded]:
    """Make the vectors of the records that would bring new content, by position, before others have to wait."""
    if not is_embedded_with_title(caller.session) and all(record.draft.vector is None for record in batch):
        return {}
    with caller.session.lease:
        operation = _scratch(caller)
        planned = plan_upserts(replace(caller, embeds=False), operation, batch, lambda bad: None)
    fresh = [
        plan.record
        for plan in planned
        if (row := operation.after.get(plan.id)) is not None and row.blob in operation.new_contents
    ]
    made = prepare_drafts(caller, [record.draft for record in fresh])
    return {record.position: embedded for record, embedded in zip(fresh, made, strict=True)}


def _prune(caller: Caller, disappeared: Sequence[tuple[str, int]], options: Options, tally: _Tally) -> None:
    """Delete memories in batches of one operation each, but for those that somebody changed since they were chosen."""
    for start in range(0, len(disappeared), options.batch_size):
        with caller.session.lease, transaction(caller.session, caller.context) as operation:
            deleted = []
            for memory_id, begin_seq in disappeared[start : start + options.batch_size]:
                row = operation.live(memory_id)
                if row is not None and row.begin_seq == begin_seq:
                    plan_delete(caller, operation, memory_id)
                    deleted.append(memory_id)
        if deleted:
            tally.pruned += len(deleted)
            tally.acknowledge(operation.seq, tuple(deleted), options.on_batch)


def _batches(records: Iterable[SourceRecord], size: int) -> Iterator[list[SourceRecord]]:
    batch: list[SourceRecord] = []
    held_bytes = 0
    for record in records:
        batch.append(record)
        held_bytes += len(record.draft.content)
        if len(batch) == size or held_bytes >= MAX_BATCH_BYTES:
            yield batch
            batch, held_bytes = [], 0
    if batch:
        yield batch


# -- pruning -----------------------------------------------------------------------------------------------------------


def _disappeared(
    caller: Caller, source: Source, present: Mapping[tuple[str, str], str], bad: Iterable[BadRecord]
) -> list[tuple[str, int]]:
    """Return id and begin_seq of the memories of the source's namespace whose keys are not in the source."""
    unreadable = {record.position.rstrip("/") for record in bad}
    with caller.session.lease, caller.session.snapshot() as (_, cursor):
        scope = caller.scope.condition(cursor, caller.session.schemes)
        found = cursor.execute(
            "SELECT m.id, m.begin_seq, m.key FROM memories m"
            f" WHERE m.namespace = ? AND m.key IS NOT NULL AND ({scope.sql}) ORDER BY m.id",
            [source.namespace, *scope.parameters],
        ).fetchall()
    return [
        (memory_id, begin_seq)
        for memory_id, begin_seq, key in found
        if (source.namespace, key) not in present and unreadable.isdisjoint(_paths_to(key))
    ]


def _paths_to(key: str) -> Iterator[str]:
    """Yield a key and the folders above it: one that could not be read hides all that is below it."""
    while key:
        yield key
        key = key.rpartition("/")[0]


def _check_prunable(source: Source, bad: Sequence[BadRecord]) -> None:
    if bad and not source.names_bad_records_by_key:
        raise InvalidInput(
            f"prune=True: {bad[0].position} and perhaps more cannot be read, so what disappeared from"
            f" {str(source.path)!r} is not known; repair it or import without prune: {bad[0].reason}",
            bad=_facts(bad),
        )


# -- refusals ----------------------------------------------------------------------------------------------------------


def _refusal(source: Source, count: int, bad: Sequence[BadRecord]) -> InvalidInput:
    shown = "; ".join(f"{record.position}: {record.reason}" for record in bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    return InvalidInput(
        f"{len(bad):,} of {count:,} records of {str(source.path)!r} are bad, nothing was written: {shown}{more}",
        path=str(source.path),
        read=count,
        bad=_facts(bad),
    )


def _on_late_bad(options: Options, bad: list[BadRecord]) -> OnBad:
    """Return what to do about a record that was fine in pass 1, or was not there."""

    def refuse(record: BadRecord) -> None:
        raise InvalidInput(f"{record.position}: {record.reason}", position=record.position, bad=_facts([record]))

    return bad.append if options.on_error == "skip" else refuse


def _interrupted(error: InvalidInput, source: Source, tally: _Tally) -> InvalidInput:
    kept = f"{tally.batches:,} batches up to seq {tally.last_seq}" if tally.batches else "nothing yet"
    return InvalidInput(
        f"{error.message}. The source or the store changed while {str(source.path)!r} was imported. Committed, and"
        f" staying: {kept}; import again to go on",
        **{**error.details, "batches": tally.batches, "last_seq": tally.last_seq},
    )


def _facts(bad: Iterable[BadRecord]) -> list[dict[str, str]]:
    return [{"position": record.position, "reason": record.reason} for record in bad]
