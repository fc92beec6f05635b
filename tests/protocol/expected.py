"""A store as plain dicts: what it must hold after each step of a script, and the comparison with what it does."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

import kiromi
from kiromi import Store

SCHEME = "topic={topic}"
IDS = tuple(f"01J00000000000000000000{number:03}" for number in range(400))

Blob = tuple[str, int]


@dataclass(frozen=True)
class Expected:
    """What a store holds."""

    seq: int = 0
    live: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)
    """Memory id: (version, n, topic)."""
    dead: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)
    contents: Mapping[Blob, bytes] = field(default_factory=dict)

    def append(self, *ids: str) -> "Expected":
        return replace(
            self,
            live={**self.live, **dict.fromkeys(ids, (1, 1, "a"))},
            contents={**self.contents, **{(memory_id, 1): content(memory_id, 1) for memory_id in ids}},
        )

    def update(self, memory_id: str) -> "Expected":
        version, n, topic = self.live[memory_id]
        return replace(
            self,
            live={**self.live, memory_id: (version + 1, n + 1, topic)},
            contents={**self.contents, (memory_id, n + 1): content(memory_id, n + 1)},
        )

    def move(self, memory_id: str) -> "Expected":
        version, n, topic = self.live[memory_id]
        return replace(self, live={**self.live, memory_id: (version + 1, n, other(topic))})

    def delete(self, memory_id: str) -> "Expected":
        rest = {name: row for name, row in self.live.items() if name != memory_id}
        return replace(self, live=rest, dead={**self.dead, memory_id: self.live[memory_id]})

    def undelete(self, memory_id: str) -> "Expected":
        version, n, topic = self.dead[memory_id]
        return replace(self, live={**self.live, memory_id: (version + 1, n, topic)})

    def tree(self) -> dict[str, bytes]:
        """Return every blob that must be on disk, by path below the tenant."""
        at = {
            (memory_id, n): f"data/topic={topic}/{memory_id}.{n}.md" for memory_id, (_, n, topic) in self.live.items()
        }
        return {
            at.get((memory_id, n), f"attic/{memory_id[-2:]}/{memory_id}.{n}.md"): data
            for (memory_id, n), data in self.contents.items()
        }


def content(memory_id: str, n: int) -> bytes:
    """Return the n-th content of a memory; all differ, some are empty or long."""
    return b"" if (memory_id, n) == (IDS[1], 1) else f"content {n} of {memory_id}\n".encode() * (n * n)


def text(memory_id: str, n: int) -> str:
    """Return the n-th content of a memory as text."""
    return content(memory_id, n).decode()


def other(topic: str) -> str:
    return "b" if topic == "a" else "a"


Do = Callable[[Store, Expected], None]
Then = Callable[[Expected], Expected | None]
X, Y = IDS[:2]


def _guarded(is_possible: Callable[[Expected], bool], then: Callable[[Expected], Expected]) -> Then:
    return lambda before: replace(then(before), seq=before.seq + 1) if is_possible(before) else None


def _transaction(store: Store, before: Expected) -> None:
    with store.transaction() as tx:
        tx.update(X, content=text(X, before.live[X][1] + 1), attributes={"topic": other(before.live[X][2])})
        tx.delete(Y)


def _many(start: int, count: int) -> tuple[Do, Then]:
    ids = IDS[start : start + count]
    records = [{"id": name, "content": text(name, 1), "attributes": {"topic": "a"}}
               for name in ids]  # fmt: skip
    return (
        lambda store, before: _ignore(store.append_many(records)),
        _guarded(lambda before: ids[0] not in before.live, lambda before: before.append(*ids)),
    )


def _ignore(_: Any) -> None:
    """Drop a result."""


def _append(memory_id: str) -> tuple[Do, Then]:
    return (
        lambda store, before: _ignore(store.append(text(memory_id, 1), {"topic": "a"}, id=memory_id)),
        _guarded(lambda before: (memory_id, 1) not in before.contents, lambda before: before.append(memory_id)),
    )


STEPS: dict[str, tuple[Do, Then]] = {
    "create": _append(X),
    "create-empty": _append(Y),
    "few": _many(10, 3),
    "many": _many(100, 70),  # beyond what the journal takes
    "update": (
        lambda store, before: _ignore(store.update(X, content=text(X, before.live[X][1] + 1))),
        _guarded(lambda before: X in before.live, lambda before: before.update(X)),
    ),
    "move": (
        lambda store, before: _ignore(store.update(X, attributes={"topic": other(before.live[X][2])})),
        _guarded(lambda before: X in before.live, lambda before: before.move(X)),
    ),
    "delete": (
        lambda store, before: _ignore(store.delete(X)),
        _guarded(lambda before: X in before.live, lambda before: before.delete(X)),
    ),
    "undelete": (
        lambda store, before: _ignore(store.undelete(X)),
        _guarded(lambda before: X not in before.live and X in before.dead, lambda before: before.undelete(X)),
    ),
    "transaction": (
        _transaction,
        _guarded(lambda b: X in b.live and Y in b.live, lambda before: _both(before)),
    ),
    "read": (lambda store, before: _ignore(store.count()), lambda before: before),  # folds the journal
}


def _both(before: Expected) -> Expected:
    version = before.live[X][0]
    after = before.update(X).move(X).delete(Y)
    return replace(after, live={**after.live, X: (version + 1, *after.live[X][1:])})


def states_of(script: Sequence[str]) -> list[tuple[str, Expected]]:
    """Return the steps of a script that do something, with what the store holds after each."""
    states = []
    now = Expected()
    for name in script:
        after = STEPS[name][1](now)
        if after is not None:
            states.append((name, after))
            now = after
    return states


def check_store(store: Store, allowed: Sequence[Expected]) -> Expected:
    """Compare what an open store says with what it must hold: exactly one of the allowed states."""
    now = next((state for state in allowed if state.seq == store.seq), None)
    assert now is not None, f"seq {store.seq}, expected one of {[state.seq for state in allowed]}"
    assert store.list_ids() == sorted(now.live)
    for memory in store.get_many(now.live):
        version, n, topic = now.live[memory.id]
        assert (memory.version, memory.data) == (version, now.contents[memory.id, n])
        assert memory.path == f"data/topic={topic}/{memory.id}.{n}.md"
    stats = store.stats()
    assert stats.pending == 0
    assert stats.contents == len(now.contents)
    report = store.verify(read_data=True)
    assert report.problems == ()
    audit = store.audit_verify()
    assert audit.problems == ()
    assert [entry.seq for entry in store.audit() if entry.i == 0] == list(range(1, now.seq + 1))
    return now


def check_tree(tree: Mapping[str, bytes], now: Expected) -> None:
    """Compare ``data/``, ``attic/`` and ``staging/`` with what must be there, and nothing else."""
    found = {path: data for path, data in tree.items() if path.split("/")[0] in ("data", "attic", "staging")}
    assert found == now.tree(), (sorted(found), sorted(now.tree()))


def check_closed(catalog: str) -> None:
    """Look into the closed catalog file: nothing is pending, nothing waits in the journal, nothing is there twice."""
    with duckdb.connect(catalog) as connection:
        for query in (
            "SELECT * FROM pending",
            "SELECT * FROM journal",
            "SELECT id FROM memories GROUP BY ALL HAVING count(*) > 1",
            "SELECT id, n FROM contents GROUP BY ALL HAVING count(*) > 1",
            "SELECT id, begin_seq FROM history GROUP BY ALL HAVING count(*) > 1",
            "SELECT * FROM history WHERE begin_seq >= end_seq",
        ):
            assert connection.execute(query).fetchall() == [], query


def local_tree(tenant: str) -> dict[str, bytes]:
    """Return all files below a local tenant."""
    found = {}
    for folder, _, names in os.walk(tenant):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, tenant)] = file.read()
    return found


def play(store: Store, script: Sequence[str], acknowledge: Callable[[], None]) -> None:
    """Run the steps of a script."""
    now = Expected()
    for name, after in states_of(script):
        STEPS[name][0](store, now)
        acknowledge()
        now = after


def open_store(root: str, catalog: str | None) -> Store:
    return kiromi.open(root, scheme=SCHEME, catalog=catalog, wait=30)
