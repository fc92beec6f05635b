"""What was erased is nowhere: not in a file, a table, an index, a snapshot, nor in what DuckDB no longer uses (P14)."""

from pathlib import Path

import kiromi
from kiromi.ids import ERASED_ID
from kiromi.index.text.index import TextScope
from kiromi.index.text.query import parse_query
from kiromi.operations.indexing import indices_of
from tests.operations.erasing import SNAPSHOT, lives, new_token, places_of, remember
from tests.operations.tree import files_below

_TABLES = {"memories", "history", "links", "audit_log"}


def test_a_token_that_was_everywhere_is_nowhere(root: Path) -> None:
    token = new_token()
    erased, others = remember(root, token)
    before = places_of(root, token)
    assert before >= {f"table {name}" for name in _TABLES}
    assert before >= {"file default/catalog.duckdb", "file default/catalog.duckdb.before-0003"}
    assert any(place.startswith("file default/index/vectors-1/") for place in places_of(root, *erased))
    assert {place.split("/")[1] for place in before if place.startswith("name ")} == {"data"}
    assert any(place.startswith("file default/attic/") for place in before)

    with kiromi.open(root) as store:
        assert indexed(store, token) == {erased[0], erased[2]}
        untouched = [one for one in others if one != others[2]]  # that one was superseded by an erased memory
        former, files = lives(store, untouched), files_of(root, others)
        store.update(others[5], tags=["x"])
        store.update(others[5], tags=[])  # so that there is something in the journal
        former[others[5]] = lives(store, [others[5]])[others[5]]
        report = store.erase(erased, dry_run=False)
        assert (report.applied, report.memories, report.copies, report.index) == (True, 3, 1, True)
        assert (report.blobs, report.versions, report.vectors) == (4, 5, 4)
        assert (report.links, report.supersessions) == (3, 2)
        assert report.head == store.audit_verify(expect=report.head).head
        assert lives(store, untouched) == former
        assert files_of(root, others) == files
        assert not (root / "default" / "index").exists()
    assert places_of(root, token, *erased) == set()

    with kiromi.open(root) as store:
        for mode in ("text", "vector"):
            found = store.search(token, mode=mode, include_superseded=True, k=50)
            assert {hit.id for hit in found}.isdisjoint(erased)
        assert indexed(store, token) == set()
        then = store.at(SNAPSHOT)
        assert set(then.list_ids()) == set(others)
        assert then.search(token, mode="text", include_superseded=True) == []
        assert store.get(others[2]).superseded_by == ERASED_ID
        assert store.verify(read_data=True).is_clean
        assert store.audit_verify(expect=report.head).is_clean
        assert len(store.audit()) == store.stats().audit_entries
        store.reindex()
    assert places_of(root, token, *erased) == set()


def test_erased_by_partition_and_filter(root: Path) -> None:
    token = new_token()
    erased, others = remember(root, token)
    with kiromi.open(root) as store:
        plan = store.erase(within={"user": token})
        assert (set(plan.ids), plan.former, plan.applied) == (set(erased), (), False)
        assert store.erase(where={"secret": token}).ids == (erased[0],)
        receipt = store.erase(within={"user": token}, where={}, dry_run=False)
        assert receipt.memories == 3
        assert store.count() == len(others)
    assert places_of(root, token, *erased) == set()


def indexed(store: kiromi.Store, word: str) -> set[str]:
    """Return what the text index has under a word, whether it may be shown or not."""
    session = store._caller().session
    with session.lease:
        query = parse_query(word)
        assert query is not None
        return {hit.id for hit in indices_of(session).text().search(query, 50, TextScope())}


def files_of(root: Path, ids: list[str]) -> dict[str, bytes]:
    """Return the blobs of memories."""
    found = files_below(root / "default" / "data") | files_below(root / "default" / "attic")
    return {path: data for path, data in found.items() if any(one in path for one in ids)}
