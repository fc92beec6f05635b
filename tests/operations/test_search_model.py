"""Search against a model that is small enough to be obviously right: any history, scope and filter (P7, P9, P10)."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import kiromi
from kiromi.embed.base import Metric
from kiromi.embed.given import CallerVectors
from kiromi.model import Hit
from tests.operations.finding import found, ranked, vector_of

DIMENSION = 3
SCHEMES = ("user={user}/topic={topic|inbox}", "{user}", "kind={kind}/shard={user:bucket(3)}", "topic={topic|inbox}")
USERS = ("acme", "acme-corp", "Acme", "%", "a=b")
TOPICS = (None, "inbox", "in_ox", "work")
KINDS = ("episodic", "semantic")
WORDS = ("kelmo", "prist", "zorvex", "quib", "vandle")
NOW = datetime.now(UTC)
MOMENTS = (None, NOW - timedelta(days=2), NOW - timedelta(days=1), NOW + timedelta(days=1))

vectors = st.lists(st.integers(-2, 2), min_size=DIMENSION, max_size=DIMENSION).map(lambda v: [float(x) for x in v])
words = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
picks = st.integers(0, 1 << 16)


@dataclass
class Remembered:
    """A memory as the model has it."""

    user: str
    topic: str | None
    kind: str
    text: str
    title: str | None
    tags: tuple[str, ...]
    number: int
    valid_from: datetime | None
    vector: list[float] | None
    is_live: bool = True
    is_expired: bool = False
    is_superseded: bool = False

    @property
    def words(self) -> set[str]:
        return {*self.text.split(), *(self.title or "").split(), *self.tags}


FILTERS: tuple[tuple[Any, Callable[[Remembered], bool]], ...] = (
    (None, lambda m: True),
    ({"number": {"$gte": 2}}, lambda m: m.number >= 2),
    ({"tags": {"$contains": "quib"}}, lambda m: "quib" in m.tags),
    ({"$or": [{"title": {"$exists": True}}, {"user": "acme"}]}, lambda m: m.title is not None or m.user == "acme"),
    ({"user": {"$in": ["%", "a=b"]}}, lambda m: m.user in ("%", "a=b")),
    ("number < 1", lambda m: m.number < 1),
)


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "user": draw(st.sampled_from(USERS)),
        "topic": draw(st.sampled_from(TOPICS)),
        "kind": draw(st.sampled_from(KINDS)),
        "text": draw(words),
        "title": draw(st.none() | st.sampled_from(WORDS)),
        "tags": tuple(draw(st.lists(st.sampled_from(WORDS), max_size=2, unique=True))),
        "number": draw(st.integers(0, 3)),
        "valid_from": draw(st.sampled_from(MOMENTS)),
        "vector": draw(st.none() | vectors),
    }


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "k": draw(st.sampled_from((1, 2, 3, 50))),
        "where": draw(st.integers(0, len(FILTERS) - 1)),
        "kind": draw(st.none() | st.sampled_from(KINDS)),
        "valid_at": draw(st.sampled_from((None, NOW))),
        "include_superseded": draw(st.booleans()),
        "user": draw(st.none() | st.sampled_from(USERS)),
        "topic": draw(st.none() | st.sampled_from(TOPICS[1:])),
        "is_scoped": draw(st.booleans()),
    }


class Searching(RuleBasedStateMachine):
    """A store with vectors of its own or the caller's, and what it should find."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="kiromi-test-"))
        self.memories: dict[str, Remembered] = {}

    @initialize(
        scheme=st.sampled_from(SCHEMES), metric=st.sampled_from(("cosine", "dot", "l2")), is_given=st.booleans()
    )
    def begin(self, scheme: str, metric: Metric, is_given: bool) -> None:
        self.scheme = scheme
        self.metric: Metric = metric if is_given else "cosine"
        self.is_given = is_given
        embedder = CallerVectors(DIMENSION, metric=metric) if is_given else f"hash:{DIMENSION}"
        self.store = kiromi.open(self.root, scheme=scheme, embedder=embedder, durability="relaxed")

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.root)

    # -- what is written ------------------------------------------------------------------------------------------

    def record(self, given: Mapping[str, Any]) -> dict[str, Any]:
        attributes = {name: given[name] for name in ("user", "topic", "number") if given[name] is not None}
        return {
            "content": given["text"],
            "attributes": attributes,
            "kind": given["kind"],
            "title": given["title"],
            "tags": given["tags"],
            "valid_from": given["valid_from"],
            "vector": given["vector"] if self.is_given else None,
        }

    def remember(self, memory_id: str, given: Mapping[str, Any]) -> None:
        memory = self.memories[memory_id] = Remembered(**{**given, "vector": None})
        self.embed(memory, given["vector"])

    def embed(self, memory: Remembered, vector: list[float] | None) -> None:
        made = vector_of(memory.title, memory.text, DIMENSION).tolist()
        memory.vector = vector if self.is_given else made

    def pick(self, number: int, *, is_live: bool = True) -> str | None:
        found = sorted(key for key, memory in self.memories.items() if memory.is_live is is_live)
        return found[number % len(found)] if found else None

    @rule(given=fields())
    def append(self, given: dict[str, Any]) -> None:
        self.remember(self.store.append(**self.record(given)).id, given)

    @rule(many=st.lists(fields(), max_size=8), batch_size=st.sampled_from((1, 3, 100)))
    def append_many(self, many: list[dict[str, Any]], batch_size: int) -> None:
        ids: list[str] = []
        self.store.append_many(
            [self.record(given) for given in many],
            batch_size=batch_size,
            on_batch=lambda report: ids.extend(report.ids),
        )
        for memory_id, given in zip(ids, many, strict=True):
            self.remember(memory_id, given)

    @rule(number=picks, text=words, vector=st.none() | vectors)
    def update_content(self, number: int, text: str, vector: list[float] | None) -> None:
        if (memory_id := self.pick(number)) is None:
            return
        memory = self.memories[memory_id]
        given: dict[str, Any] = {} if vector is None or not self.is_given else {"vector": vector}
        self.store.update(memory_id, content=text, **given)
        if memory.text != text or given:
            memory.text = text
            self.embed(memory, vector)

    @rule(number=picks, given=fields())
    def update_facts(self, number: int, given: dict[str, Any]) -> None:
        """Change all that is no content; the title is part of what an embedder gets."""
        if (memory_id := self.pick(number)) is None:
            return
        memory, record = self.memories[memory_id], self.record(given)
        attributes = {"topic": None, **record["attributes"]}
        changes = {name: record[name] for name in ("kind", "title", "tags", "valid_from")}
        self.store.update(memory_id, attributes=attributes, **changes)
        for name in ("user", "topic", "number", "kind", "title", "tags", "valid_from"):
            setattr(memory, name, given[name])
        if not self.is_given:
            self.embed(memory, None)

    @rule(number=picks)
    def delete(self, number: int) -> None:
        if (memory_id := self.pick(number)) is not None:
            self.store.delete(memory_id)
            self.memories[memory_id].is_live = False

    @rule(number=picks)
    def undelete(self, number: int) -> None:
        if (memory_id := self.pick(number, is_live=False)) is not None:
            self.store.undelete(memory_id)
            self.memories[memory_id].is_live = True

    @rule(number=picks, is_expired=st.booleans())
    def expire(self, number: int, is_expired: bool) -> None:
        if (memory_id := self.pick(number)) is not None:
            self.store.update(memory_id, expires_at=NOW - timedelta(hours=1) if is_expired else None)
            self.memories[memory_id].is_expired = is_expired

    @rule(old=picks, new=picks)
    def supersede(self, old: int, new: int) -> None:
        loser, winner = self.pick(old), self.pick(new)
        if loser is None or winner is None or loser == winner or self.memories[winner].is_expired:
            return
        try:
            self.store.supersede(loser, winner)
        except kiromi.InvalidInput:  # it replaced the other before
            return
        self.memories[loser].is_superseded = True

    @rule(number=picks)
    def unsupersede(self, number: int) -> None:
        if (memory_id := self.pick(number)) is not None:
            self.store.unsupersede(memory_id)
            self.memories[memory_id].is_superseded = False

    # -- what happens to the store ----------------------------------------------------------------------------------

    @rule(is_kept=st.booleans())
    def reopen(self, is_kept: bool) -> None:
        self.store.close()
        if not is_kept:
            shutil.rmtree(self.root / "default" / "index", ignore_errors=True)
        self.store = kiromi.open(self.root, durability="relaxed")

    @rule()
    def reindex(self) -> None:
        report = self.store.reindex()
        live = [memory for memory in self.memories.values() if memory.is_live]
        assert report.documents == len(live)
        assert report.passages == sum(memory.vector is not None for memory in live)

    # -- what is found ------------------------------------------------------------------------------------------------

    def scope(self, question: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        within = {}
        if question["user"] is not None and "user" in self.scheme:
            within["user"] = question["user"]
        if question["topic"] is not None and "topic" in self.scheme:
            within["topic"] = question["topic"]
        names = ("k", "kind", "valid_at", "include_superseded")
        arguments = {name: question[name] for name in names}
        return {**arguments, "where": FILTERS[question["where"]][0]}, within

    def ask(self, question: Mapping[str, Any], **query: Any) -> list[Hit]:
        arguments, within = self.scope(question)
        if within and question["is_scoped"]:
            return self.store.scoped(within).search(**query, **arguments)
        return self.store.search(**query, **arguments, within=within)

    def admitted(self, question: Mapping[str, Any]) -> dict[str, Remembered]:
        _, within = self.scope(question)

        def admits(memory: Remembered) -> bool:
            return (
                memory.is_live
                and not memory.is_expired
                and (question["include_superseded"] or not memory.is_superseded)
                and question["kind"] in (None, memory.kind)
                and (question["valid_at"] is None or (memory.valid_from or NOW) <= NOW)
                and within.get("user", memory.user) == memory.user
                and within.get("topic", memory.topic or "inbox") == (memory.topic or "inbox")
                and FILTERS[question["where"]][1](memory)
            )

        return {key: memory for key, memory in self.memories.items() if admits(memory)}

    @rule(question=questions(), query=vectors)
    def search_by_vector(self, question: dict[str, Any], query: list[float]) -> None:
        known = {key: m.vector for key, m in self.admitted(question).items() if m.vector is not None}
        hits = self.ask(question, vector=query, mode="vector")
        assert found(hits) == ranked(self.metric, known, query, question["k"])
        assert all(hit.text == self.memories[hit.id].text for hit in hits)
        assert all(hit.span == (0, len(hit.text)) for hit in hits)

    @rule(question=questions(), word=st.sampled_from(WORDS))
    def search_by_word(self, question: dict[str, Any], word: str) -> None:
        hits = self.ask(question, query=word, mode="text")
        expected = {key for key, memory in self.admitted(question).items() if word in memory.words}
        assert len(hits) == min(question["k"], len(expected))
        assert {hit.id for hit in hits} <= expected
        for hit in hits:
            for begin, end in hit.highlights:
                assert (hit.snippet or "")[begin:end] == word

    @rule(question=questions(), word=st.sampled_from(WORDS), query=vectors)
    def search_by_both(self, question: dict[str, Any], word: str, query: list[float]) -> None:
        hits = self.ask(question, query=word, vector=query, mode="hybrid")
        admitted = self.admitted(question)
        expected = {key for key, m in admitted.items() if m.vector is not None or word in m.words}
        assert len(hits) == min(question["k"], len(expected))
        assert {hit.id for hit in hits} <= expected
        assert len({hit.id for hit in hits}) == len(hits)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    @rule(number=picks, question=questions())
    def look_for_what_is_related(self, number: int, question: dict[str, Any]) -> None:
        memory_id = self.pick(number)
        if memory_id is None or self.memories[memory_id].is_expired or self.memories[memory_id].vector is None:
            return
        arguments, within = self.scope({**question, "kind": None, "valid_at": None})
        query = self.memories[memory_id].vector
        admitted = self.admitted({**question, "kind": None, "valid_at": None})
        known = {key: m.vector for key, m in admitted.items() if m.vector is not None and key != memory_id}
        del arguments["kind"], arguments["valid_at"]
        hits = self.store.related(memory_id, within=within, **arguments)
        assert found(hits) == ranked(self.metric, known, query or [], question["k"])

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def none_is_pending(self) -> None:
        (model,) = self.store.models()
        assert model.pending == 0
        assert model.vectors == sum(m.is_live and m.vector is not None for m in self.memories.values())


def test_search_finds_what_the_model_finds() -> None:
    run_state_machine_as_test(Searching, settings=settings(max_examples=12, stateful_step_count=20))
