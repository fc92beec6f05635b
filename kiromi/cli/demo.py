"""``demo``: the whole story on a few memories, told while it happens, with every answer checked."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.errors import IntegrityError, InvalidInput, MemoryDeleted, MemoryNotFound

if TYPE_CHECKING:
    from kiromi.store import Store

PANEL = "Stores"
commands = typer.Typer()

_SCHEME = "user={user}/topic={topic|inbox}"
_SEAT = "Prefers aisle seats, close to the front.\n"
_MEMORIES: Sequence[Mapping[str, Any]] = (
    {
        "content": _SEAT,
        "partition": {"user": "ana", "topic": "travel"},
        "key": "seat",
        "tags": ["pref"],
        "attributes": {"trip": 7},
    },
    {
        "content": "The night train to Vienna leaves at 20:13 from platform 4.\n",
        "partition": {"user": "ana", "topic": "travel"},
        "tags": ["fact"],
        "attributes": {"trip": 8},
    },
    {
        "content": "Is allergic to hazelnuts; ask before ordering dessert.\n",
        "partition": {"user": "ana", "topic": "food"},
        "kind": "semantic",
        "tags": ["pref", "health"],
    },
    {"content": "Call the plumber back.\n", "partition": {"user": "ana"}},
    {
        "content": "Deploys on Tuesdays, never on Fridays.\n",
        "partition": {"user": "bob", "topic": "work"},
        "kind": "procedural",
        "tags": ["pref"],
    },
    {
        "content": "Die Küche öffnet erst um zwölf. 台所は十二時に開きます。\n",
        "partition": {"user": "bob", "topic": "café/bar"},
        "title": "Opening hours",
    },
)


@command(commands, "demo", panel=PANEL, examples=["kiromi demo", "kiromi demo --keep story"])
def demo(
    cli: Invocation,
    kept: Annotated[
        Path | None,
        typer.Option("--keep", metavar="FOLDER", help="Play in this new folder and leave it there, to look around in."),
    ] = None,
) -> None:
    """Play the whole story on a few example memories and check every answer on the way.

    It runs in a folder of its own and touches no store of yours.
    """
    with _folder(kept) as folder:
        tell = _Narrator(cli)
        _play(folder / "memories", tell)
        if kept is not None:
            tell.says(f"The store is in {folder / 'memories'}: kiromi --store {folder / 'memories'} tree")
    if cli.is_json:
        cli.document({"ok": True, "steps": tell.steps, "kept": None if kept is None else str(folder / "memories")})
    else:
        cli.line(f"The demo is done: {tell.steps} steps, every answer as expected.")


class _Narrator:
    """Tells the story and stops it at the first wrong answer."""

    def __init__(self, cli: Invocation) -> None:
        self.steps = 0
        self._cli = cli

    def step(self, title: str) -> None:
        self.steps += 1
        self.says(f"\n{self.steps}. {title}")

    def says(self, *lines: str) -> None:
        if not (self._cli.is_json or self._cli.is_quiet):
            for line in lines:
                self._cli.line(line)

    def answers(self, shown: str, is_expected: bool) -> None:
        self.says(f"   {shown}")
        if not is_expected:
            raise IntegrityError(f"step {self.steps} of the demo has the wrong answer: {shown}")


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="kiromi-demo-") as name:
            yield Path(name)
        return
    try:
        kept.mkdir(parents=True)
    except FileExistsError as error:
        raise InvalidInput(f"--keep {str(kept)!r} is there already: name a new folder") from error
    yield kept


def _play(root: Path, tell: _Narrator) -> None:
    import kiromi

    with kiromi.open(root, scheme=_SCHEME, actor="demo") as store:
        tell.step("A store, made with a scheme that says where memories lie")
        tell.answers(f"scheme {store.scheme}", store.scheme == _SCHEME)
        seat = _remember(store, tell)
        _look_around(store, tell)
        _search(store, tell)
        _change(store, seat, tell)
        _wall(store, tell)
        _query(store, tell)
        _read_without_kiromi(root, tell)
        _trust(store, tell)


def _remember(store: "Store", tell: _Narrator) -> str:
    tell.step("Six memories are stored; each is durable before the call returns")
    memories = [store.append(**fields) for fields in _MEMORIES]
    for memory in memories:
        tell.says(f"   {memory.path}")
    tell.answers(f"count: {store.count()}", store.count() == len(_MEMORIES))
    return memories[0].id


def _look_around(store: "Store", tell: _Narrator) -> None:
    tell.step("What is there, by partition and by filter")
    tree = {node.path: node.count for node in store.partitions(depth=1)}
    for path, count in tree.items():
        tell.says(f"   {path}: {count}")
    tell.answers(f"below user=ana: {tree.get('user=ana')}", tree == {"user=ana": 4, "user=bob": 2})
    preferences = store.list(within={"user": "ana"}, where='tags contains "pref"').items
    tell.answers(f"ana's preferences: {len(preferences)}", len(preferences) == 2)
    travel = store.count(where="trip >= 8")
    tell.answers(f"with trip >= 8: {travel}", travel == 1)


def _search(store: "Store", tell: _Narrator) -> None:
    tell.step("Search by words: deploying on a Tuesday")
    hits = store.search("deploying on a Tuesday")
    for hit in hits:
        tell.says(f"   {hit.score:.4f}  {hit.path}")
    best = hits[0].text.strip() if hits else "nothing"
    tell.answers(f"best: {best}", best.startswith("Deploys on Tuesdays"))
    kitchen = store.search("Küche OR 台所", within={"user": "bob"})
    tell.answers(f"in German and Japanese, of bob alone: {len(kitchen)}", len(kitchen) == 1)


def _change(store: "Store", seat: str, tell: _Narrator) -> None:
    import kiromi

    tell.step("A correction makes a new version; the old one stays in the history")
    changed = store.update(seat, content="Prefers window seats.\n", expected_version=1)
    versions = store.history(seat)
    tell.answers(
        f"version {changed.version}, {len(versions)} in the history", [v.info.version for v in versions] == [2, 1]
    )
    is_refused = False
    try:
        store.update(seat, content="Stands all the way.\n", expected_version=1)
    except kiromi.VersionConflict as error:
        is_refused = True
        tell.says(f"   refused: {error}")
    tell.answers("an update that builds on the old version is refused", is_refused)

    tell.step("Deleted is not lost")
    store.delete(seat)
    is_gone = False
    try:
        store.get(seat)
    except MemoryDeleted as error:
        is_gone = True
        tell.says(f"   {error}")
    tell.answers(f"no read shows it: count {store.count()}", is_gone and store.count() == len(_MEMORIES) - 1)
    store.undelete(seat)
    back = store.get(key="seat").text
    tell.answers(f"and back again: {back.strip()}", back == "Prefers window seats.\n")


def _wall(store: "Store", tell: _Narrator) -> None:
    tell.step("A handle for bob alone cannot see what is ana's")
    bob = store.scoped({"user": "bob"})
    tell.answers(f"bob's count: {bob.count()}", bob.count() == 2)
    is_hidden = False
    try:
        bob.get(key="seat")
    except MemoryNotFound as error:
        is_hidden = True
        tell.says(f"   {error}")
    seen = bob.sql("SELECT count(*) AS n FROM memories").column("n").to_pylist()
    tell.answers(f"by key nothing, by SQL {seen[0]} of {store.count()}", is_hidden and seen == [2])


def _query(store: "Store", tell: _Narrator) -> None:
    tell.step("SQL over the catalog: SELECT kind, count(*) FROM memories GROUP BY kind ORDER BY kind")
    found = store.sql("SELECT kind, count(*) AS n FROM memories GROUP BY kind ORDER BY kind").to_pylist()
    counts = {row["kind"]: row["n"] for row in found}
    tell.answers(
        ", ".join(f"{kind} {count}" for kind, count in counts.items()),
        counts == {"episodic": 4, "procedural": 1, "semantic": 1},
    )


def _read_without_kiromi(root: Path, tell: _Narrator) -> None:
    import duckdb

    tell.step("The same files without kiromi: DuckDB reads the folder")
    query = (
        "SELECT regexp_extract(filename, '/user=([^/]*)', 1) AS user, count(*) FROM read_text(?) GROUP BY 1 ORDER BY 1"
    )
    files = str(root / "default" / "data" / "**" / "*.md")
    tell.says(f"   {query}")
    with duckdb.connect() as connection:
        rows = connection.execute(query, [files]).fetchall()
    tell.answers(", ".join(f"{user} {count}" for user, count in rows), rows == [("ana", 4), ("bob", 2)])


def _trust(store: "Store", tell: _Narrator) -> None:
    tell.step("Every change is in the audit log, chained by hashes")
    for entry in store.audit()[-3:]:
        tell.says(f"   {entry.seq}  {entry.actor}  {entry.op}  {entry.memory_id}")
    audit = store.audit_verify()
    tell.answers(f"the chain is {'whole' if audit.is_clean else 'broken'}: {audit.entries} entries", audit.is_clean)
    tell.step("Every blob is where it belongs and has the bytes that were stored")
    report = store.verify(read_data=True)
    tell.answers(
        f"{report.blobs} blobs, {report.bytes_read} bytes read, {len(report.problems)} problems", report.is_clean
    )
