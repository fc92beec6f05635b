"""The write protocol as a small model of one memory.

It has a journal in front of the tables, durability apart from settling, merged places, and intents on object stores.
Every primitive on disk is one tick, at which a kill or a power loss may come. On a local disk renames and removals are
lost by a power loss unless a sync came after them; what a commit wrote is durable. ``flaws`` switches single rules off,
so that a test can see the model fail without each of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

Op = tuple[str, ...]
OPS: tuple[Op, ...] = (("write", "A"), ("move", "A"), ("move", "B"), ("delete",), ("undelete",), ("purge",))


class Kill(Exception):
    """The process dies."""


class Lost(AssertionError):
    """A blob that belongs somewhere is nowhere."""


@dataclass
class Catalog:
    """What a commit makes durable: the state of the memory, and two layers of pending places."""

    live: str | None = None
    former: str | None = None
    """Where a deleted memory was."""
    current: int = 0
    last: int = 0
    """The highest content number in use."""
    contents: frozenset[int] = frozenset()
    tabled: dict[int, frozenset[str]] = field(default_factory=dict)
    journal: list[dict[int, frozenset[str]]] = field(default_factory=list)

    def goal(self, n: int) -> str | None:
        """Return the only place where a blob belongs."""
        if n not in self.contents:
            return None
        return f"data/{self.live}/{n}" if self.live is not None and n == self.current else f"attic/{n}"

    def pending(self) -> dict[int, frozenset[str]]:
        """Return what a fresh process finds pending: the tables and all of the journal, merged."""
        places = dict(self.tabled)
        for entry in self.journal:
            for n, more in entry.items():
                places[n] = places.get(n, frozenset()) | more
        return places

    def fold(self, cleared: Iterable[int]) -> None:
        """Move the journal into the tables; the last entry of a blob names all its places."""
        touched = {n: places for entry in self.journal for n, places in entry.items()}
        gone = set(cleared)
        self.tabled = {n: places for n, places in {**self.tabled, **touched}.items() if n not in gone}
        self.journal = []


class World:
    """A disk, a catalog on it, and a process that works on both."""

    def __init__(
        self, kind: str, kills: Iterable[int], *, loses_power: bool = False, flaws: Iterable[str] = ()
    ) -> None:
        self.kind = kind
        self.files: dict[str, int] = {}
        self.unsynced: list[dict[str, int]] = []
        """The files before each change that a power loss may still take, oldest first."""
        self.catalog = Catalog()
        self._kills = list(kills)
        self._loses_power = loses_power
        self._flaws = frozenset(flaws)
        self._ticks = 0
        self.places: dict[int, frozenset[str]] = {}
        self.unsettled: set[int] = set()
        self.settled: set[int] = set()
        self.cleared: set[int] = set()

    @property
    def has_kills(self) -> bool:
        return bool(self._kills)

    def stop_kills(self) -> None:
        self._kills = []

    # -- primitives ---------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._ticks += 1
        if self._kills and self._ticks == self._kills[0]:
            self._kills.pop(0)
            self._ticks = 0
            if self._loses_power and self.unsynced:
                self.files = self.unsynced[0]
            self.unsynced = []
            raise Kill

    def _change(self, change: Callable[[], object]) -> None:
        self._tick()
        if self.kind == "local":
            self.unsynced.append(dict(self.files))
        change()

    def _sync(self) -> None:
        self._tick()
        self.unsynced = []
        self.cleared |= self.settled
        self.settled = set()

    def _stage(self, path: str, n: int, *, syncs_all: bool) -> None:
        """Write a file durably: by a sync of all, or of this file and its folder."""
        self._change(lambda: self.files.__setitem__(path, n))
        if "stage is not synced" in self._flaws:
            return
        if syncs_all:
            self._sync()
        else:
            self._tick()
            self.unsynced = [{**files, path: n} for files in self.unsynced[:-1]]

    def _commit(self, change: Callable[[], None], places: dict[int, frozenset[str]], *, into_tables: bool) -> None:
        self._tick()
        change()
        self.catalog.journal.append(places)
        if into_tables:
            self.catalog.fold(self.cleared)
            self.cleared = set()

    # -- the process --------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Become a fresh process."""
        self.places = self.catalog.pending()
        self.unsettled = set(self.places)
        self.settled = set()
        self.cleared = set()

    def do(self, op: Op, *, settles: bool = True, is_large: bool = False) -> bool:
        """Run an operation; return whether it did something. ``is_large`` goes past the journal, and syncs all."""
        catalog = self.catalog
        match op:
            case ("write", path):
                if catalog.live is None and catalog.contents:
                    return False
                self._write(catalog.live or path, is_large=is_large)
            case ("move", path):
                if catalog.live in (None, path):
                    return False
                self._relocate([catalog.current], lambda: setattr(catalog, "live", path), is_large=is_large)
            case ("delete",):
                if catalog.live is None:
                    return False
                self._relocate([catalog.current], self._retire, is_large=is_large)
            case ("undelete",):
                if catalog.live is not None or catalog.current not in catalog.contents:
                    return False
                self._relocate([catalog.current], lambda: setattr(catalog, "live", catalog.former), is_large=is_large)
            case _:
                gone = {n for n in catalog.contents if catalog.live is None or n != catalog.current}
                if not gone:
                    return False
                self._relocate(gone, lambda: self._purge(gone), is_large=is_large)
        if settles:
            self.settle()
        return True

    def fold(self) -> None:
        """What a SQL read, a hand-over and closing do."""
        if self.settled:
            if "fold without sync" in self._flaws:
                self.cleared |= self.settled
                self.settled = set()
            else:
                self._sync()
        self._tick()
        self.catalog.fold(self.cleared)
        for n in self.cleared:
            self.places.pop(n, None)
        self.cleared = set()

    def settle(self) -> None:
        """Bring every blob that is pending where it belongs."""
        for n in sorted(self.unsettled):
            goal = self.catalog.goal(n)
            places = sorted(place for place in self.places[n] if place != goal)
            if goal is not None:
                self._bring(n, places, goal)
            for place in places:
                if place in self.files and "other places stay" not in self._flaws:
                    self._change(partial(self.files.pop, place))
            self.settled.add(n)
        self.unsettled = set()

    def recover(self) -> None:
        """What opening does."""
        self._forget()
        self.settle()
        if self.kind == "local":
            named = {place for n in self.unsettled for place in self.places[n]}
            for path in [path for path in self.files if path.startswith("staging/") and path not in named]:
                self._change(partial(self.files.pop, path))
        self.fold()

    def check(self) -> None:
        """Compare the disk with the catalog."""
        wanted = {self.catalog.goal(n): n for n in self.catalog.contents}
        assert self.files == wanted, (self.files, wanted)

    def _bring(self, n: int, places: list[str], goal: str) -> None:
        if self.kind == "local":
            source = next((place for place in places if place in self.files), None)
            if source is not None:
                former = source
                self._change(lambda: self.files.__setitem__(goal, self.files.pop(former)))
            elif goal not in self.files:
                raise Lost(f"{n} is neither at {goal} nor at {places}")
        elif goal not in self.files:
            source = next((place for place in places if place in self.files), None)
            if source is None:
                raise Lost(f"{n} is neither at {goal} nor at {places}")
            self._change(lambda: self.files.__setitem__(goal, self.files[source]))

    def _write(self, path: str, *, is_large: bool) -> None:
        catalog = self.catalog
        n = catalog.last + 1
        final = f"data/{path}/{n}"
        place = f"staging/{n}" if self.kind == "local" else final
        former = {catalog.current} & catalog.contents
        merged = self._merged({n: {place}, **{old: {str(catalog.goal(old))} for old in former}})

        def change() -> None:
            catalog.live, catalog.current, catalog.last = path, n, n
            catalog.contents |= {n}

        if self.kind == "local":
            self._reopen(merged)
            self._stage(place, n, syncs_all=is_large)
        else:
            if "no intent" not in self._flaws:
                intent = {n: merged[n]}
                self._commit(lambda: None, intent, into_tables=is_large)
                self._note(intent)
            self._change(lambda: self.files.__setitem__(place, n))
        self._commit(change, merged, into_tables=is_large)
        self._note(merged)

    def _relocate(self, blobs: Iterable[int], change: Callable[[], None], *, is_large: bool) -> None:
        merged = self._merged({n: {str(self.catalog.goal(n))} for n in blobs})
        self._reopen(merged)
        self._commit(change, merged, into_tables=is_large)
        self._note(merged)

    def _merged(self, places: dict[int, set[str]]) -> dict[int, frozenset[str]]:
        if "places are not merged" in self._flaws:
            return {n: frozenset(more) for n, more in places.items()}
        known = {n: frozenset() if n in self.cleared else self.places.get(n, frozenset()) for n in places}
        return {n: known[n] | more for n, more in places.items()}

    def _reopen(self, merged: Iterable[int]) -> None:
        for n in set(merged) & set(self.places):
            self.settled.discard(n)
            self.cleared.discard(n)
            self.unsettled.add(n)

    def _note(self, merged: dict[int, frozenset[str]]) -> None:
        self.places.update(merged)
        self.settled -= set(merged)
        self.cleared -= set(merged)
        self.unsettled |= set(merged)

    def _retire(self) -> None:
        self.catalog.former, self.catalog.live = self.catalog.live, None

    def _purge(self, gone: set[int]) -> None:
        self.catalog.contents -= gone
