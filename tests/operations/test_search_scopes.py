"""Search never shows what is outside its scope, whatever the index says (P7)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi.model import Hit
from kiromi.operations import search as search_module
from kiromi.operations.caller import Caller
from kiromi.operations.past_indices import indices_for
from tests.operations.finding import texts

USERS = (
    "acme",
    "acme-corp",
    "Acme",
    "acm_",
    "acme%",
    "%",
    "_",
    "*",
    "a=b",
    "acme/x",
    "..",
    "café",
    "cafe\u0301",
    "null",
)
SCHEMES = ("user={user}", "{user}", "u={user}/topic={topic|inbox}", "shard={user:bucket(4)}", "topic={topic|inbox}/x")

Search = Callable[..., list[Hit]]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("is_indexed", [True, False], ids=["slab", "tail"])
def test_a_user_finds_only_what_is_theirs(tmp_path: Path, scheme: str, is_indexed: bool) -> None:
    with kiromi.open(tmp_path / "s", scheme=scheme, embedder="hash:16", durability="relaxed") as store:
        store.search("open both indices")
        store.append_many(
            {"content": f"secret zebra {i} of {user!r}", "attributes": {"user": user}}
            for user in USERS
            for i in range(2)
        )
        if is_indexed:
            store.reindex()
        for user in USERS:
            wheres: list[Any] = [{"user": user}, {"user": {"$in": [user]}}]
            handles: list[tuple[Search, dict[str, Any]]] = [(store.search, {"where": where}) for where in wheres]
            if scheme != "topic={topic|inbox}/x":
                handles += [(store.search, {"within": {"user": user}}), (store.scoped({"user": user}).search, {})]
            expected = {f"secret zebra {i} of {user!r}" for i in range(2)}
            for search, arguments in handles:
                for mode in ("text", "vector", "hybrid"):
                    assert {*texts(search("secret zebra", mode=mode, **arguments))} == expected
                    assert len(search("secret zebra", mode=mode, k=1, **arguments)) == 1
                assert {*texts(search("secret zebra", profile="recent", rerank=_alike, **arguments))} == expected


def _alike(query: str, hits: Any) -> list[float]:
    assert len(hits) == 2
    return [0.0] * len(hits)


@pytest.fixture
def shared(tmp_path: Path) -> Any:
    scheme = "user={user}/topic={topic|inbox}"
    with kiromi.open(tmp_path / "s", scheme=scheme, embedder="hash:16", durability="relaxed") as store:
        for user in ("acme", "acme-corp"):
            for topic in (None, "inbox", "work"):
                attributes = {"user": user} if topic is None else {"user": user, "topic": topic}
                store.append(f"zebra of {user} in {topic}", attributes=attributes)
        yield store


def test_a_scoped_handle_cannot_widen(shared: kiromi.Store) -> None:
    acme = shared.scoped({"user": "acme"})
    assert len(acme.search("zebra")) == 3
    assert acme.search("zebra", within={"user": "acme-corp"}) == []
    assert acme.search("zebra", where={"user": "acme-corp"}) == []
    assert acme.search("zebra", where={"$or": [{"user": "acme"}, {"user": "acme-corp"}]}) == acme.search("zebra")
    assert {*texts(acme.search("zebra", within={"topic": "inbox"}))} == {
        "zebra of acme in None",
        "zebra of acme in inbox",
    }
    inner = acme.scoped({"topic": "work"})
    assert texts(inner.search("zebra")) == ["zebra of acme in work"]
    assert texts(inner.search("zebra", mode="vector", k=3)) == ["zebra of acme in work"]
    with pytest.raises(kiromi.InvalidInput, match="whole tenant"):
        acme.reindex()
    with pytest.raises(kiromi.InvalidInput, match="whole tenant"):
        acme.reembed("hash:8")


def test_related_stays_within_the_scope(shared: kiromi.Store) -> None:
    acme, other = shared.scoped({"user": "acme"}), shared.scoped({"user": "acme-corp"})
    mine = acme.search("zebra", k=1)[0]
    assert len(shared.related(mine.id)) == 5
    assert {hit.partition["user"] for hit in acme.related(mine.id)} == {"acme"}
    assert len(acme.related(mine.id)) == 2
    assert {hit.partition["user"] for hit in shared.related(mine.id, within={"user": "acme-corp"})} == {"acme-corp"}
    with pytest.raises(kiromi.MemoryNotFound):
        other.related(mine.id)


def test_what_moved_is_found_where_it_is(shared: kiromi.Store) -> None:
    moved = shared.search("zebra", within={"user": "acme"}, k=1)[0]
    for user in ("acme-corp", "acme", "other"):
        shared.update(moved.id, attributes={"user": user})
        for name in ("acme", "acme-corp", "other"):
            for mode in ("text", "vector"):
                hits = shared.search("zebra", mode=mode, within={"user": name})
                assert (moved.id in [hit.id for hit in hits]) is (name == user)
                assert all(hit.partition["user"] == name for hit in hits)


def test_tenants_are_apart(tmp_path: Path) -> None:
    root = tmp_path / "s"
    for tenant in ("acme", "acme-corp", "Acme"):
        with kiromi.open(root, scheme="user={user}", tenant=tenant, embedder="hash:16") as store:
            store.append(f"zebra of {tenant}", {"user": "ana"})
            assert texts(store.search("zebra")) == [f"zebra of {tenant}"]
    for tenant in ("acme", "acme-corp", "Acme"):
        with kiromi.open(root, tenant=tenant) as store:
            for mode in ("text", "vector", "hybrid"):
                assert texts(store.search("zebra", mode=mode)) == [f"zebra of {tenant}"]


def numbers(hits: list[Hit]) -> list[Any]:
    return sorted(int(hit.text.removeprefix("zebra number")) for hit in hits)


def test_a_scope_of_few_among_many_gives_k(tmp_path: Path) -> None:
    """One of 200 users, filters that keep little, ids by the thousand: k whenever there are k."""
    with kiromi.open(tmp_path / "s", scheme="user={user}", embedder="hash:8", durability="relaxed") as store:
        store.append_many(
            {"content": f"zebra number{i}", "attributes": {"user": f"u{i % 200}", "n": i}} for i in range(4_000)
        )
        for mode in ("text", "vector", "hybrid"):
            hits = store.search("zebra", mode=mode, within={"user": "u7"}, k=20)
            assert numbers(hits) == list(range(7, 4_000, 200))
            hits = store.search("zebra", mode=mode, where={"n": {"$lt": 1_500}}, k=1_500)
            assert numbers(hits) == list(range(1_500))
            hits = store.search("zebra", mode=mode, within={"user": "u7"}, where={"n": {"$gte": 3_000}}, k=10)
            assert numbers(hits) == list(range(3_007, 4_000, 200))


def test_a_search_finds_what_follows_a_scheme_that_came_after_it_began(
    store: kiromi.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {store.append("word", {"user": "ana"}).id for _ in range(2)}
    store.append("word", {"user": "bob"})

    def migrated(caller: Caller) -> Any:
        if store.scheme != "user={user}":
            store.migrate_scheme("user={user}")
        return indices_for(caller)

    monkeypatch.setattr(search_module, "indices_for", migrated)
    assert {hit.id for hit in store.search("word", mode="text", within={"user": "ana"})} == ids
