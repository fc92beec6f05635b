"""What tests of time share: all that a store answers at a moment as one value, random lives, and a second scheme."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

import kiromi
from kiromi.operations.within import row_values
from kiromi.session.commit import run
from kiromi.session.operation import Operation

IDS = [f"01ARZ3NDEKTSV4RRFFQ69G5F{i:02d}" for i in range(4)]
"""Of the memories of a random life, whether they are there or not."""
WORDS = ("seat", "window", "aisle", "train")
QUESTIONS: tuple[tuple[Mapping[str, Any] | None, Any], ...] = (
    ({"user": "ana"}, None),
    ({"topic": "travel"}, {"n": {"$gte": 2}}),
    (None, {"user": "ana", "n": {"$lt": 3}}),
    (None, {"topic": {"$in": ["travel", "inbox"]}}),
    ({"user": "bob"}, {"tags": {"$contains": "x"}, "superseded_by": {"$exists": False}}),
    (None, 'not kind = "semantic"'),
)
"""Scopes with filters."""


def answers(store: kiromi.Store | kiromi.StoreView) -> dict[str, Any]:
    """Return all that a store, or a view of it, says: equal if nothing tells the two apart."""
    found: dict[str, Any] = {
        "scheme": store.scheme,
        "partitions": store.partitions(),
        "links": store.links(),
        "table": store.to_arrow(with_content=True).to_pylist(),
        "counts": [store.count(*question) for question in QUESTIONS],
        "ids": [store.list_ids(*question) for question in QUESTIONS],
        "many": store.get_many(IDS, missing="skip"),
    }
    page = store.list(order_by="-title", limit=2)
    rest = store.list(order_by="-title", cursor=page.next_cursor) if page.next_cursor else None
    found["pages"] = (page.items, rest.items if rest else ())
    for memory_id in IDS:
        found[memory_id] = [
            answer(store.get, memory_id),
            answer(store.get, key=f"k{memory_id}"),
            answer(store.history, memory_id),
        ]
    found["neighbours"] = answer(store.neighbours, IDS[0], depth=2)
    found["chain"] = answer(store.supersession_chain, IDS[0])
    return found


def hits(store: kiromi.Store | kiromi.StoreView) -> dict[str, Any]:
    """Return what searches find; scores of texts depend on what tantivy has not yet merged away: of them only ids."""
    found: dict[str, Any] = {}
    for scope, where in ((None, None), *QUESTIONS[:2]):
        texts = store.search("seat", mode="text", within=scope, where=where)
        found[f"{scope} {where} text"] = sorted((hit.id, hit.text, hit.path) for hit in texts)
        nearest = store.search("aisle seat", mode="vector", within=scope, where=where)
        found[f"{scope} {where} vector"] = [(hit.id, hit.score, hit.text, hit.path, hit.span) for hit in nearest]
    every = store.search("train", mode="hybrid", include_superseded=True, k=20)
    found["hybrid"] = sorted((hit.id, hit.text) for hit in every)
    return found


def answer(ask: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Return what is answered, or the kind of the error."""
    try:
        return ask(*arguments, **more)
    except kiromi.KiromiError as error:
        return error.kind


# -- random lives ------------------------------------------------------------------------------------------------------

_ids = st.sampled_from(IDS)
_texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "content": _texts,
        "title": st.sampled_from(["A", "B", None]),
        "tags": st.sampled_from([[], ["x"], ["x", "y"]]),
        "kind": st.sampled_from(["episodic", "semantic"]),
        "attributes": st.fixed_dictionaries(
            {},
            optional={
                "user": st.sampled_from(["ana", "bob"]),
                "topic": st.sampled_from(["travel", None, "café/bar"]),
                "n": st.sampled_from([1, 1.0, True, 3, None]),
            },
        ),
    },
)
steps = st.one_of(
    st.tuples(st.just("append"), _ids, _texts, st.sampled_from(["ana", "bob"]), st.integers(0, 4)),
    st.tuples(st.just("update"), _ids, _fields),
    st.tuples(st.sampled_from(["delete", "undelete", "unsupersede"]), _ids),
    st.tuples(st.sampled_from(["supersede", "link", "unlink"]), _ids, _ids),
    st.tuples(st.just("snapshot")),
    st.tuples(st.just("evolve")),
    st.tuples(st.just("move"), _ids),
)


def lives(most: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Give random lives of a few memories; without those at the start, most would be errors only."""
    begin = [("append", IDS[0], "seat", "ana", 1), ("append", IDS[1], "window seat", "bob", 3)]
    return st.lists(steps, min_size=1, max_size=most).map(lambda steps: [*begin, *steps])


def live_on(store: kiromi.Store, step: tuple[Any, ...]) -> None:
    """Take a step of a life; what is refused changes nothing."""
    with contextlib.suppress(kiromi.KiromiError):
        match step:
            case ("append", memory_id, text, user, n):
                attributes = {"user": user, "n": n}
                store.append(text, id=memory_id, attributes=attributes, key=f"k{memory_id}", title=text[:1])
            case ("update", memory_id, fields):
                store.update(memory_id, **fields)
            case ("link", one, other):
                store.link(one, other, weight=0.5)
            case ("snapshot",):
                store.snapshot()
            case ("evolve",):
                evolve(store)
            case ("move", memory_id):
                move(store, memory_id)
            case (verb, *ids):
                getattr(store, verb)(*ids)


# -- schemes -----------------------------------------------------------------------------------------------------------

OTHER = "kind={kind}/user={user}"


def evolve(store: kiromi.Store, template: str = OTHER) -> int:
    """Make a template the active scheme, as an operation; return its number."""
    caller = store._caller()
    session = caller.session
    numbers = {scheme.template: number for number, scheme in session.schemes.items()}
    number = numbers.get(template, len(numbers) + 1)

    def plan(operation: Operation) -> None:
        if template not in numbers:
            operation.execute("INSERT INTO schemes VALUES (?, ?, make_timestamptz(?))", number, template, operation.at)
        operation.execute("INSERT INTO scheme_events (seq, scheme) VALUES (?, ?)", operation.seq, number)
        operation.record("evolve", None, {"scheme": number})

    with session.lease:
        run(session, caller.context, plan)
    return number


def move(store: kiromi.Store, memory_id: str) -> None:
    """Move a memory to where the active scheme puts it, which is no change that a caller made."""
    caller = store._caller()
    session = caller.session

    def plan(operation: Operation) -> None:
        row = operation.live(memory_id)
        if row is not None and row.scheme != session.active_scheme:
            path = session.schemes[session.active_scheme].render(row_values(row)).path
            operation.write(row._replace(scheme=session.active_scheme, partition=path, begin_seq=operation.seq))
            operation.record("move", memory_id, {})

    with session.lease:
        run(session, caller.context, plan)
