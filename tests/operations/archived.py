"""What tests of archives share: a store with a bit of everything in it, and what a reader sees of a store."""

from typing import Any

import kiromi
from kiromi import CallerVectors, Store

SCHEME = "user={user}/topic={topic|inbox}"


def fill(store: Store) -> dict[str, str]:
    """Put a bit of everything into an empty store, in several versions; return ids by name."""
    made = {
        "seat": store.append(
            "Prefers aisle seats.",
            {"user": "ana", "topic": "travel"},
            key="seat",
            tags=["pref"],
            attributes={"trip": 7, "price": 1.5},
            title="Seat",
            vector=[1.0, 0.0],
        ).id,
        "window": store.append("Prefers window seats.", {"user": "ana"}, vector=[0.0, 1.0], language="en").id,
        "bytes": store.append(b"\x00\xff", {"user": "Zoë/é"}, kind="procedural", vector=[1.0, 1.0]).id,
        "gone": store.append("Deleted later.", {"user": "bob"}, vector=[0.5, 0.0]).id,
    }
    store.supersede(made["seat"], made["window"])
    store.link(made["window"], made["bytes"], "related", weight=0.5, note="see")
    store.update(made["window"], content="Prefers window seats, far back.", vector=[0.0, 2.0])
    store.update(made["bytes"], tags=["raw"])
    return made


def open_filled(root: Any, **how: Any) -> tuple[Store, dict[str, str]]:
    store = kiromi.open(root, scheme=SCHEME, embedder=CallerVectors(2), actor="tester", **how)
    return store, fill(store)


def seen(store: Any) -> dict[str, Any]:
    """Return what a reader sees of a store or view, but for seqs of what was done to it as a whole."""
    ids = store.list_ids()
    return {
        "memories": store.get_many(ids),
        "links": store.links(),
        "hits": [(hit.id, round(hit.score, 5)) for hit in store.search(vector=[0.2, 1.0], mode="vector")],
        "found": [hit.id for hit in store.search("seats", mode="text", include_superseded=True)],
        "chains": [[one.id for one in store.supersession_chain(memory_id)] for memory_id in ids],
    }
