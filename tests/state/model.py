"""What a store should hold, in plain Python: small enough to be obviously right."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Fields:
    """What a caller sets."""

    text: str
    user: str
    topic: str | None = None
    key: str | None = None
    n: int = 0
    is_expired: bool = False


@dataclass
class Entry:
    """A memory and all that it was."""

    fields: Fields
    contents: list[str]
    """The text of each blob, in the order of n."""
    version: int = 1
    n: int = 1
    is_live: bool = True
    closed: list[tuple[int, Fields]] = field(default_factory=list)
    """Former versions, oldest first."""
    dropped: set[int] = field(default_factory=set)
    """The contents that gc took."""

    def path(self, memory_id: str) -> str:
        topic = (self.fields.topic or "inbox").replace("%", "%25")
        return f"user={self.fields.user}/topic={topic}/{memory_id}.{self.n}.md"


class Model:
    """The memories by id."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.seq = 0

    @property
    def live(self) -> dict[str, Entry]:
        return {memory_id: entry for memory_id, entry in self.entries.items() if entry.is_live}

    @property
    def shown(self) -> dict[str, Entry]:
        return {memory_id: entry for memory_id, entry in self.live.items() if not entry.fields.is_expired}

    def holder(self, key: str | None) -> str | None:
        """Return the live memory that has a key."""
        return next((i for i, entry in self.live.items() if key is not None and entry.fields.key == key), None)

    def append(self, memory_id: str, fields: Fields) -> None:
        self.entries[memory_id] = Entry(fields, [fields.text])

    def change(self, memory_id: str, fields: Fields) -> bool:
        """Make the next version; tell whether anything changed."""
        entry = self.entries[memory_id]
        if fields == entry.fields:
            return False
        entry.closed.append((entry.version, entry.fields))
        if fields.text != entry.fields.text:
            entry.contents.append(fields.text)
            entry.n = len(entry.contents)
        entry.fields = fields
        entry.version += 1
        return True

    def delete(self, memory_id: str) -> bool:
        entry = self.entries[memory_id]
        if not entry.is_live:
            return False
        entry.is_live = False
        entry.closed.append((entry.version, entry.fields))
        return True

    def undelete(self, memory_id: str) -> bool:
        entry = self.entries[memory_id]
        if entry.is_live:
            return False
        entry.is_live = True
        entry.version += 1
        return True

    def collect(self) -> int:
        """Forget all that is past; return how many versions that is."""
        count = sum(len(entry.closed) for entry in self.entries.values())
        self.entries = self.live
        for entry in self.entries.values():
            entry.closed = []
            entry.dropped = set(range(1, entry.n))
        return count

    def data(self) -> dict[str, bytes]:
        """Return the files that should lie below ``data/``."""
        return {entry.path(i): entry.fields.text.encode() for i, entry in self.live.items()}

    def attic(self) -> dict[str, bytes]:
        """Return the files that should lie below ``attic/``."""
        return {
            f"{i[-2:]}/{i}.{n}.md": text.encode()
            for i, entry in self.entries.items()
            for n, text in enumerate(entry.contents, 1)
            if n not in entry.dropped and not (entry.is_live and n == entry.n)
        }


def with_changes(fields: Fields, changes: dict[str, object]) -> Fields:
    """Return fields after an update of some of them."""
    return replace(fields, **changes)  # type: ignore[arg-type]
