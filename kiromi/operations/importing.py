"""Import: make the memories of one source what a folder or file says, by key.

Two passes. The first reads, screens and plans every record against the present state, in operations that are thrown
away, so it finds whatever could be refused before anything is written. The second plans the same again upon the state
that it then finds, and commits batch by batch; each batch is one operation. What the first pass found to be written is
kept in memory if it is small; otherwise the source is read and checked once more, because files may have changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kiromi.catalog.rows import CLOSED_ROWS, Row, to_rows
from kiromi.errors import AlreadyExists, InvalidInput, KiromiError
from kiromi.model import BatchReport, Draft, ImportReport
from kiromi.operations.append import MAX_BATCH_BYTES
from kiromi.operations.caller import Caller
from kiromi.operations.delete import plan_delete
from kiromi.operations.drafting import create, screened
from kiromi.operations.drafting import replace as replace_version
from kiromi.portable.formats import Source
from kiromi.portable.source import BadRecord, SourceRecord
from kiromi.session.commit import transaction
from kiromi.session.operation import Operation
from kiromi.times import now_micros

HELD_BYTES = 64 << 20
"""How much of what is to be written the first pass keeps for the second."""
_RECORD_BYTES = 2_048
"""What a record needs in memory besides its content, roughly."""
_SHOWN = 3

Effect = Literal["added", "changed", "unchanged"]
OnBad = Callable[[BadRecord], None]
OnBatch = Callable[[BatchReport], None]
OnProgress = Callable[[int, int | None], None]


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

    # Pass 1: read and plan everything, write nothing.
    bad: list[BadRecord] = []
    reading = _Reading(caller, source, bad.append)
    tally = _Tally()
    held = _rehearse(caller, reading, options, tally)
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
    try:
        if held is not None:
            _commit(caller, held, _on_late_bad(options, bad), options, tally, len(held))
        else:
            bad = []
            on_bad = _on_late_bad(options, bad)
            total, reading = reading.count, _Reading(caller, source, on_bad)
            tally = _Tally()
            _commit(caller, reading.records(), on_bad, options, tally, total)
            present = {**present, **reading.keys}
        if options.prune:
            _check_prunable(source, bad)
            _prune(caller, _disappeared(caller, source, present, bad), options, tally)
    except InvalidInput as error:
        raise _interrupted(error, source, tally) from error
    return tally.report(reading, bad, applied=True)


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
        for effect in effects:
            match effect:
                case "added":
                    self.added += 1
                case "changed":
                    self.changed += 1
                case "unchanged":
                    self.unchanged += 1

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
            first = self.keys.setdefault((draft.namespace, draft.key), record.position)
            if first is not record.position:
                return BadRecord(record.position, f"the key {draft.key!r} is that of {first} already")
        if draft.id is not None:
            first = self._ids.setdefault(draft.id, record.position)
            if first is not record.position:
                return BadRecord(record.position, f"the id {draft.id} is that of {first} already")
        return record if draft is record.draft else replace(record, draft=draft)


def _rehearse(caller: Caller, reading: _Reading, options: Options, tally: _Tally) -> list[SourceRecord] | None:
    """Plan every record and drop the plans; return what is to be written, or None if that is too much to keep."""
    held: list[SourceRecord] | None = []
    held_bytes = 0
    for batch in _batches(reading.records(), options.batch_size):
        session = caller.session
        operation = Operation(session, session.view.seq + 1, now_micros(), caller.context)
        effects = _plan_batch(caller, operation, batch, reading._on_bad)
        tally.count(effect for effect, _ in effects.values())
        for record in batch:
            effect, _ = effects.get(record.position, ("unchanged", ""))
            if effect == "unchanged" or held is None:
                continue
            held.append(record)
            held_bytes += len(record.draft.content) + _RECORD_BYTES
            if held_bytes > HELD_BYTES:
                held = None
        if options.on_progress is not None:
            options.on_progress(reading.count, None)
    return held
