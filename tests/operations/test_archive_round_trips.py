"""Whatever was done to a store: an archive of it, whole or in increments, gives back the same state (P11)."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import kiromi
from kiromi import Store

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUES = st.one_of(_TEXTS.filter(bool), st.integers(-5, 5), st.booleans(), st.floats(-1, 1), st.none())
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "update", "tag", "delete", "undelete", "link", "supersede", "export"]),
        st.integers(0, 7),
        st.integers(0, 7),
        _TEXTS,
        st.dictionaries(st.sampled_from(["topic", "trip", "x"]), _VALUES, max_size=2),
    ),
    max_size=14,
)


def _do(store: Store, ids: list[str], step: tuple[str, int, int, str, dict[str, object]]) -> None:
    what, one, two, text, attributes = step
    if what == "append":
        ids.append(store.append(text, {"user": f"u{one % 3}"}, attributes=attributes, title=text or None).id)
    elif ids:
        chosen, other = ids[one % len(ids)], ids[two % len(ids)]
        try:
            if what == "update":
                store.update(chosen, content=text)
            elif what == "tag":
                store.update(chosen, tags=[f"t{two}"], attributes=attributes)
            elif what == "delete":
                store.delete(chosen)
            elif what == "undelete":
                store.undelete(chosen)
            elif what == "link":
                store.link(chosen, other, "related", note=text)
            elif what == "supersede":
                store.supersede(chosen, other)
        except (kiromi.NotFound, kiromi.InvalidInput):
            pass  # what is refused changes nothing


@settings(max_examples=12)
@given(_STEPS)
def test_any_store_comes_back_from_its_archives(steps: list[tuple[str, int, int, str, dict[str, object]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids: list[str] = []
        chain: list[Path] = []
        with kiromi.open(folder / "store", scheme="user={user}/topic={topic|inbox}", durability="relaxed") as store:
            last = -1
            for step in [*steps, ("export", 0, 0, "", {})]:
                if step[0] != "export" or store.seq <= last:
                    _do(store, ids, step)
                    continue
                chain.append(folder / f"archive{len(chain)}")
                store.export_archive("live", chain[-1], since=None if last < 0 else last)
                last = store.seq
            if not chain or store.seq > last:
                chain.append(folder / "last")
                store.export_archive("live", chain[-1], since=None if last < 0 else last)
            digest = store.digest()
            everything = store.get_many(store.list_ids())
            links = store.links()
        (folder / "store" / "default" / "catalog.duckdb").unlink()
        if everything:
            assert kiromi.recover(folder / "store", archives=chain, dry_run=False).memories == ()
            with kiromi.open(folder / "store", durability="relaxed") as store:
                assert store.digest() == digest
                assert store.verify(read_data=True).problems == ()
        kiromi.import_archive(chain, folder / "copy")
        with kiromi.open(folder / "copy", durability="relaxed") as copy:
            assert copy.digest() == digest
            assert copy.get_many(copy.list_ids()) == everything
            assert copy.links() == links
            assert copy.verify(read_data=True).problems == ()
            for memory in everything:
                versions = copy.history(memory.id)
                assert versions[0].info == memory.info()
                assert {version.info.sha256 for version in versions} >= {memory.sha256}
