"""Vectors of the caller's: appending them, and searching by them, beside Chroma with the same rows.

Chroma's figures are medians of the same queries in the same round, but its `add` is not durable.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

import kiromi
from kiromi.embed.given import CallerVectors
from tools.bench import chroma, raw
from tools.bench.corpus import records
from tools.bench.figures import Bound, Check, Result, Series, Unmeasured, milliseconds, rates, ratios
from tools.bench.sizes import Sizes
from tools.bench.vectors import DIMENSION, NEAREST, Matrix, Rows, Space, nearest, recall

USERS = 50
SCHEME = "user={user}"
TIMES_ADD = 2.0
TIMES_QUERY = 1.0
TIMES_FILTERED = 10.0
RECALL = 0.999


@dataclass(frozen=True, slots=True)
class Sample:
    """Memories with vectors, dealt out to users; the content of number 7 begins with ``memory 7:``."""

    texts: list[str]
    users: list[str]
    vectors: Matrix

    def table(self) -> pa.Table:
        """Return all as ``append_many`` takes them."""
        values = pa.array(self.vectors.reshape(-1))
        return pa.table(
            {
                "content": self.texts,
                "partition": [{"user": user} for user in self.users],
                "vector": pa.FixedSizeListArray.from_arrays(values, DIMENSION),
            }
        )


@dataclass(frozen=True, slots=True)
class Questions:
    """Queries and what they should find: among all, and of one user."""

    queries: Matrix
    truth: Rows
    user: str
    own_truth: Rows

    @classmethod
    def about(cls, sample: Sample, space: Space, count: int) -> "Questions":
        """Return questions about a sample."""
        queries, user = space.queries(sample.vectors, count), sample.users[0]
        own = np.flatnonzero(np.array(sample.users) == user)
        return cls(queries, nearest(sample.vectors, queries), user, own[nearest(sample.vectors[own], queries)])


@dataclass(slots=True)
class _Timed:
    """Rounds of searches of one kind."""

    seconds: list[float]
    recalls: list[float]

    def take(self, seconds: Sequence[float], rows: list[list[int]], truth: Rows) -> None:
        self.seconds.append(statistics.median(seconds))
        self.recalls.append(recall(rows, truth))

    def p50(self, name: str) -> Series:
        return Series(f"{name}, p50", "ms", milliseconds(self.seconds))

    def recall(self, name: str) -> Series:
        return Series(f"{name}, recall@{NEAREST}", "", tuple(self.recalls))


def sample_of(space: Space, count: int) -> Sample:
    """Return ``count`` memories of 1 KiB."""
    chosen = np.random.default_rng(3)
    users = [f"user-{number}" for number in chosen.integers(USERS, size=count).tolist()]
    return Sample([record.content for record in records(count)], users, np.concatenate(list(space.chunks(count))))


def open_store(root: Path) -> kiromi.Store:
    """Open a store of the caller's vectors, or make it."""
    return kiromi.open(root, scheme=SCHEME, embedder=CallerVectors(DIMENSION))


def measure_append_vectors(folder: Path, sizes: Sizes) -> Result:
    """Measure ``append_many`` with vectors into a new store against Chroma's ``add`` into a new collection."""
    sample = sample_of(Space.of(sizes.bulk), sizes.bulk)
    table = sample.table()
    ours, theirs = [], []
    with chroma.peer(folder / "chroma") as peer:
        for number in range(sizes.rounds):
            if peer is not None:
                raw.sync(folder)
                theirs.append(peer.add(f"memories-{number}", sample.texts, sample.users, sample.vectors))
            with open_store(folder / f"store-{number}") as store:
                raw.sync(folder)
                started = time.perf_counter()
                store.append_many(table)
                ours.append(time.perf_counter() - started)
    series = [Series(f"append_many with {DIMENSION}-d vectors, durable", "/s", rates(sizes.bulk, ours))]
    name = "append_many / Chroma's add"
    if not theirs:
        return Result(tuple(series), (), (Unmeasured(name, Bound.AT_LEAST, TIMES_ADD, chroma.REASON),))
    series.append(Series("Chroma's add", "/s", rates(sizes.bulk, theirs)))
    return Result(tuple(series), (Check(Series(name, "x", ratios(theirs, ours)), Bound.AT_LEAST, TIMES_ADD),))


def measure_search(folder: Path, sizes: Sizes) -> Result:
    """Measure vector searches before and after ``reindex``, and after it against Chroma's queries."""
    space = Space.of(sizes.searched)
    sample = sample_of(space, sizes.searched)
    questions = Questions.about(sample, space, sizes.searches)
    with open_store(folder / "store") as store, chroma.peer(folder / "chroma") as peer:
        store.append_many(sample.table())
        if peer is not None:
            peer.add("memories", sample.texts, sample.users, sample.vectors)
        before = _Searches.run(store, None, questions, sizes.rounds)
        store.reindex()
        after = _Searches.run(store, peer, questions, sizes.rounds)
    series = [*before.series("before reindex: "), *after.series("")]
    found = Check(after.all.recall("search"), Bound.AT_LEAST, RECALL)
    names = "search / Chroma's query", f"Chroma's filtered query / search of 1 of {USERS} users"
    if peer is None:
        return Result(
            tuple(series),
            (found,),
            (
                Unmeasured(names[0], Bound.AT_MOST, TIMES_QUERY, chroma.REASON),
                Unmeasured(names[1], Bound.AT_LEAST, TIMES_FILTERED, chroma.REASON),
            ),
        )
    queried, filtered = after.query, after.filtered
    series += [queried.p50("Chroma's query"), queried.recall("Chroma's query")]
    series += [filtered.p50("Chroma's filtered query"), filtered.recall("Chroma's filtered query")]
    among_all = Series(names[0], "x", ratios(after.all.seconds, queried.seconds))
    of_one = Series(names[1], "x", ratios(filtered.seconds, after.own.seconds))
    return Result(
        tuple(series),
        (found, Check(among_all, Bound.AT_MOST, TIMES_QUERY), Check(of_one, Bound.AT_LEAST, TIMES_FILTERED)),
    )


@dataclass(frozen=True, slots=True)
class _Searches:
    """Rounds in which every question was asked, to kiromi and to Chroma, among all memories and those of one user."""

    all: _Timed
    own: _Timed
    query: _Timed
    filtered: _Timed

    @classmethod
    def run(cls, store: kiromi.Store, peer: chroma.Peer | None, questions: Questions, rounds: int) -> "_Searches":
        found = cls(*(_Timed([], []) for _ in range(4)))
        q = questions
        for number in range(-1, rounds):  # the first round warms up both
            sides = [
                (found.all, *search_each(store, q.queries, None), q.truth),
                (found.own, *search_each(store, q.queries, q.user), q.own_truth),
            ]
            if peer is not None:
                sides.append((found.query, *peer.query("memories", q.queries), q.truth))
                sides.append((found.filtered, *peer.query("memories", q.queries, q.user), q.own_truth))
            for timed, seconds, rows, truth in sides if number >= 0 else ():
                timed.take(seconds, rows, truth)
        return found

    def series(self, prefix: str) -> list[Series]:
        names = f"{prefix}search", f"{prefix}search of 1 of {USERS} users"
        return [
            each
            for timed, name in zip((self.all, self.own), names, strict=True)
            for each in (timed.p50(name), timed.recall(name))
        ]


def search_each(store: kiromi.Store, queries: Matrix, user: str | None) -> tuple[list[float], list[list[int]]]:
    """Search for each query; return the seconds, and the numbers of the memories that were found."""
    within = None if user is None else {"user": user}
    seconds, rows = [], []
    for query in queries:
        started = time.perf_counter()
        hits = store.search(vector=query, k=NEAREST, within=within)
        seconds.append(time.perf_counter() - started)
        rows.append([number_of(hit.text) for hit in hits])
    return seconds, rows


def number_of(content: str) -> int:
    """Return the number that a content begins with."""
    return int(content.removeprefix("memory ").partition(":")[0])
