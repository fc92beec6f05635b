"""What becomes of one memory of which something differs from the archive: rows, places, and what is not known. Pure.

The truth is what lies on disk: a blob under ``data/`` is live, with the highest ``n``; every other content is that of a
former version. Nothing that was found is dropped, whether it was acknowledged or not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kiromi.attributes import check_attributes, decode_attributes, encode_attributes
from kiromi.catalog.rows import Row, attic_path
from kiromi.errors import InvalidInput
from kiromi.operations.recovering_find import Case, Entry
from kiromi.operations.recovering_paths import ASTRAY, as_it_lies, read_path
from kiromi.partition import Scheme
from kiromi.reports.archives import RecoveredMemory
from kiromi.times import from_micros, to_micros

BINARY = "application/octet-stream"
MEDIA_TYPES = {"md": "text/markdown", "txt": "text/plain", "json": "application/json"}
_OF_NEW = ("title, tags, key, language and all that the path does not say", "times but that of the file")
_OF_CHANGED = "whether other fields were changed too"
_OF_FORMER = "which fields its former versions had, and when they ended"


@dataclass(slots=True)
class Schemes:
    """The schemes of the store that is made, by number; more are added where none fits."""

    templates: dict[int, str]
    active: int
    fold_case: bool
    parsed: dict[int, Scheme] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parsed = {number: Scheme.parse(template) for number, template in self.templates.items()}

    def number_of(self, template: str) -> int:
        """Return the number of a template, a new one if it has none yet."""
        scheme = Scheme.parse(template)
        for number, known in self.templates.items():
            if known == scheme.template:
                return number
        number = max(self.templates, default=0) + 1
        self.templates[number], self.parsed[number] = scheme.template, scheme
        return number

    def in_order(self, first: int | None) -> list[int]:
        """Return the numbers in which a path is tried: the memory's own, the active one, the newest ones."""
        return list(dict.fromkeys([*([first] if first else []), self.active, *sorted(self.templates, reverse=True)]))


@dataclass(slots=True)
class Outcome:
    """What becomes of a memory."""

    told: RecoveredMemory | None
    """None if nothing of it was lost."""
    live: Row | None
    closed: list[tuple[Row, int]]
    pending: dict[int, tuple[str, ...]]
    """By ``n``, the places of a blob that is not, or not only, where it belongs."""
    fresh: dict[int, Entry]
    """Contents of which the archive knows nothing: their size and SHA-256 are still to be put into the rows."""
    former_lost: int = 0
    """Closed versions of the archive whose contents are gone."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Which operations the recovery is."""

    seq: int
    """The last one of the archive."""
    final: int
    """The last one of the recovery."""


def count_former(case: Case) -> int:
    """Return how many contents were found that need a version of their own."""
    return len(_extras(case, _live_entry(case)))


def decide(case: Case, schemes: Schemes, clock: Clock, changed_at: Callable[[str], int]) -> Outcome:
    """Return what becomes of a memory; ``changed_at`` gives the time of a file."""
    by_n = _by_n(case.entries)
    chosen, base, known = _live_entry(case), case.last, _known(case)
    extras = _extras(case, chosen)
    last_n = max([*by_n, *(row.last_n for row in known.values())])
    version = base.version if base is not None else 0
    kept = [(row, end) for row, end in case.closed if row.n in by_n]
    outcome = Outcome(None, None, kept, {}, {}, len(case.closed) - len(kept))
    is_home = chosen is not None and case.live is not None and chosen.path == case.live.live_path
    is_whole = is_home and not extras
    if case.live is not None and not is_whole:
        if case.live.n in by_n:
            outcome.closed.append((case.live, clock.seq + 1))
        else:
            outcome.former_lost += 1
    if is_whole and case.live is not None:
        outcome.live = case.live._replace(last_n=last_n)
    elif chosen is not None:
        row = case.live if is_home else None
        row = row or _live_row(case, chosen, known.get(chosen.n), schemes, changed_at(chosen.path))
        outcome.live = row._replace(version=version + len(extras) + 1, begin_seq=clock.final, last_n=last_n)
    for i, n in enumerate(extras):
        entry = by_n[n][0]
        model = base or outcome.live or _astray(_blank(case.id, entry, changed_at(entry.path)), schemes)
        begin = clock.seq + 1 + i
        row = _with_content(model, entry, None)
        row = row._replace(version=version + i + 1, begin_seq=begin, last_n=last_n)
        outcome.closed.append((row, begin + 1))
    outcome.fresh = {n: entries[0] for n, entries in by_n.items() if n not in known}
    outcome.pending = _pending(case.id, by_n, outcome.live)
    outcome.told = _told(case, outcome, is_home=is_home, has_former=bool(extras))
    return outcome


def _live_entry(case: Case) -> Entry | None:
    """Return the blob under ``data/`` that is live: of the highest ``n``; where the archive says, if it lies there."""
    lying = [entry for entry in case.entries if entry.folder == "data"]
    if not lying:
        return None
    n = max(entry.n for entry in lying)
    of_n = [entry for entry in lying if entry.n == n]
    expected = case.live.live_path if case.live is not None and case.live.n == n else None
    return next((entry for entry in of_n if entry.path == expected), of_n[0])


def _known(case: Case) -> dict[int, Row]:
    """Return a row of the archive for each content that it knows of the memory."""
    return {row.n: row for row in (*(row for row, _ in case.closed), *([case.live] if case.live else []))}


def _extras(case: Case, chosen: Entry | None) -> list[int]:
    """Return the contents that the archive does not know and that are not live."""
    return sorted({entry.n for entry in case.entries} - _known(case).keys() - ({chosen.n} if chosen else set()))


def _by_n(entries: Sequence[Entry]) -> dict[int, list[Entry]]:
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.n, []).append(entry)
    return found


def _live_row(case: Case, entry: Entry, content: Row | None, schemes: Schemes, changed_at: int) -> Row:
    """Return the row of a blob under ``data/``; ``content`` is a row that has its facts, if the archive knows it."""
    base = case.last
    row = base or _blank(case.id, entry, changed_at)
    row = _with_content(row, entry, content)._replace(updated_at=max(changed_at, row.updated_at))
    placed = _placed(row, entry.partition, schemes, is_known=base is not None)
    if placed is not None:
        return placed
    return _astray(row, schemes) if base is None else row  # it is brought to where the archive says


def _placed(row: Row, path: str, schemes: Schemes, *, is_known: bool) -> Row | None:
    """Return the row with scheme and attributes that render the path where its blob lies, None if none do."""
    attributes = decode_attributes(row.attributes)
    built_ins = {
        "id": row.id,
        "kind": row.kind,
        "created_at": from_micros(row.created_at),
        "event_at": from_micros(row.event_at),
        **({} if row.key is None else {"key": row.key}),
    }
    for number in schemes.in_order(row.scheme if is_known else None):
        reading = read_path(schemes.parsed[number], path, attributes, built_ins, fold_case=schemes.fold_case)
        if reading is not None:
            values = reading.built_ins
            return row._replace(
                scheme=number,
                partition=path,
                attributes=_encoded(reading.attributes),
                kind=values["kind"],
                key=values.get("key"),
                created_at=to_micros(values["created_at"]),
                event_at=to_micros(values["event_at"]),
            )
    lying = as_it_lies(path) if path else None
    if lying is not None:
        template, more = lying
        number = schemes.number_of(template)
        merged = {**attributes, **more}
        reading = read_path(schemes.parsed[number], path, merged, built_ins, fold_case=schemes.fold_case)
        if reading is not None:
            return row._replace(scheme=number, partition=path, attributes=_encoded(merged))
    return None


def _encoded(attributes: Mapping[str, object]) -> str:
    try:
        return encode_attributes(check_attributes(attributes))
    except InvalidInput:  # pragma: no cover - what a path gives is text
        return "{}"


def _blank(memory_id: str, entry: Entry, changed_at: int) -> Row:
    """Return the row of a memory of which nothing is known, and that has no place yet."""
    return Row(
        id=memory_id,
        version=1,
        n=entry.n,
        last_n=entry.n,
        begin_seq=0,
        scheme=0,
        partition="",
        title=None,
        key=None,
        namespace="",
        kind="episodic",
        language=None,
        tags=(),
        attributes="{}",
        importance=None,
        confidence=None,
        event_at=changed_at,
        valid_from=None,
        valid_until=None,
        expires_at=None,
        created_at=changed_at,
        updated_at=changed_at,
        run_id=None,
        superseded_by=None,
        superseded_at=None,
        ext=entry.ext,
        media_type=MEDIA_TYPES.get(entry.ext, BINARY),
        size=entry.size,
        sha256=b"",
    )


def _astray(row: Row, schemes: Schemes) -> Row:
    return row._replace(scheme=schemes.number_of(ASTRAY), partition=ASTRAY)


def _with_content(row: Row, entry: Entry, content: Row | None) -> Row:
    """Return a row with the content of a blob; size and SHA-256 of one that nobody knows are filled in later."""
    if content is not None:
        facts = {name: getattr(content, name) for name in ("n", "ext", "media_type", "size", "sha256")}
        return row._replace(**facts)
    media_type = row.media_type if row.ext == entry.ext else MEDIA_TYPES.get(entry.ext, BINARY)
    return row._replace(n=entry.n, ext=entry.ext, media_type=media_type, size=entry.size, sha256=b"")


def _pending(memory_id: str, by_n: Mapping[int, Sequence[Entry]], live: Row | None) -> dict[int, tuple[str, ...]]:
    """Return the blobs that are not, or not only, where they belong, with their places."""
    found: dict[int, tuple[str, ...]] = {}
    for n, entries in by_n.items():
        goal = live.live_path if live is not None and live.n == n else attic_path(memory_id, n, entries[0].ext)
        places = tuple(entry.path for entry in entries)
        if places != (goal,):
            found[n] = places
    return found


def _told(case: Case, outcome: Outcome, *, is_home: bool, has_former: bool) -> RecoveredMemory | None:
    """Return what is told of a memory, None if all of it is as it was."""
    former = (_OF_FORMER,) if has_former else ()
    live = outcome.live
    if live is not None:
        if is_home:
            return RecoveredMemory(case.id, "kept", live.live_path, former) if former else None
        if case.last is not None:
            what = "changed" if case.live is not None else "back"
            return RecoveredMemory(case.id, what, live.live_path, (_OF_CHANGED, *former))
        media = ("media type",) if live.ext == "bin" else ()
        return RecoveredMemory(case.id, "new", live.live_path, (*_OF_NEW, *media, *former))
    path = outcome.closed[-1][0].attic_path if outcome.closed else None
    if case.live is not None:
        if case.live.n in {entry.n for entry in case.entries}:
            return RecoveredMemory(case.id, "deleted", path, ("when it was deleted", *former))
        if not former:
            return RecoveredMemory(case.id, "lost", path, ("its content",))
    return RecoveredMemory(case.id, "kept", path, (*(() if case.last else _OF_NEW), *former)) if former else None
