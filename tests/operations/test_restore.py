"""restore: what differs from a moment becomes what it was, forward, as a whole or in part (P4, P5, P11)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import kiromi
from kiromi.embed.given import CallerVectors
from kiromi.embed.hashing import HashingEmbedder
from kiromi.operations import caller as caller_module
from kiromi.operations.restore import plan as plan_module
from tests.operations.conftest import SCHEME
from tests.operations.finding import Watched, fail
from tests.operations.remembering import OTHER, evolve, hits, move
from tests.operations.restoring import ANA, BOB, check_sound, counts, reasons, state
from tests.operations.tree import attic_files, data_files


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "BATCH", 2)


# -- everything --------------------------------------------------------------------------------------------------------


def test_everything_is_what_it_was_and_can_be_undone(store: kiromi.Store, root: Path) -> None:
    edited = store.append("one", ANA, title="t", tags=["x"], key="edited")
    gone, same = store.append("two", BOB), store.append("three", ANA)
    store.supersede(same.id, edited.id)
    store.link(edited.id, gone.id, "part_of", weight=0.5, note="so")
    store.link(same.id, gone.id)
    then = state(store)
    store.snapshot("then")
    on_disk = data_files(root)

    store.update(edited.id, content="uno", title="u", tags=[], key="other", attributes={"n": 1})
    store.update(edited.id, partition={"user": "bob"})
    store.delete(gone.id)
    new = store.append("four", BOB, key="edited")
    store.unsupersede(same.id)
    store.supersede(edited.id, new.id)
    store.unlink(edited.id, gone.id)
    store.unlink(same.id, gone.id)
    store.link(same.id, edited.id, "related")
    now, seq = state(store), store.seq

    report = store.restore("then")
    assert counts(report) == (1, 1, 2, 0, 3)
    assert (report.applied, report.seq, report.base_seq, report.left, report.pending) == (True, 6, seq, (), 0)
    assert report.size_bytes == len("one") + len("two")
    assert state(store) == then
    assert data_files(root) == on_disk
    assert store.diff("then").is_empty
    check_sound(store)
    assert report.snapshot is not None
    assert (report.snapshot.seq, report.snapshot.is_safety) == (seq, True)

    undone = store.restore(report.snapshot)
    assert counts(undone) == (1, 1, 2, 0, 3)
    assert state(store) == now
    assert store.diff(seq).is_empty
    check_sound(store)


def test_versions_and_contents_go_on_counting(store: kiromi.Store, root: Path) -> None:
    memory = store.append("one", ANA)
    store.snapshot("then")
    store.update(memory.id, content="two")
    store.update(memory.id, content="three")
    store.restore("then")
    back = store.get(memory.id)
    assert (back.version, back.text, Path(back.path).name) == (4, "one", f"{memory.id}.1.md")
    assert store.history(memory.id)[0].info.updated_at > memory.updated_at
    assert store.update(memory.id, content="four").path.endswith(".4.md")
    assert len(attic_files(root)) == 3  # nothing is lost
    store.delete(memory.id)
    store.restore("then")
    assert (store.get(memory.id).version, store.get(memory.id).text) == (6, "one")
    check_sound(store)


def test_what_is_as_it_was_is_not_touched(store: kiromi.Store) -> None:
    memory, other = store.append("one", ANA), store.append("two", ANA)
    store.snapshot("then")
    store.update(other.id, content="three")
    store.update(other.id, content="two")
    store.delete(memory.id)
    store.undelete(memory.id)
    versions = [store.get(memory.id).version, store.get(other.id).version]
    seq = store.seq
    report = store.restore("then")  # the same bytes came in as another content, which nobody can tell
    assert (counts(report), report.snapshot, store.seq) == ((0, 0, 0, 0, 0), None, seq)
    assert [store.get(memory.id).version, store.get(other.id).version] == versions
    assert store.restore("live").snapshot is None


def test_a_dry_run_tells_and_changes_nothing(store: kiromi.Store, root: Path) -> None:
    edited, gone = store.append("one", ANA), store.append("two", BOB)
    store.snapshot("then")
    store.update(edited.id, content="uno", tags=["x"])
    store.delete(gone.id)
    store.link(edited.id, "https://example.org/")
    new = store.append("new", BOB)
    before, seq, files = state(store), store.seq, data_files(root)
    plan = store.restore("then", dry_run=True)
    assert (plan.applied, counts(plan), plan.size_bytes, plan.snapshot) == (False, (1, 1, 1, 0, 1), 6, None)
    told = {one.id: one for one in plan.sample}
    assert told.keys() == {edited.id, gone.id, new.id}
    assert told[edited.id].fields == ("content", "tags")
    assert (told[edited.id].after, told[gone.id].before, told[new.id].after) == (edited.info(), None, None)
    assert (state(store), store.seq, data_files(root)) == (before, seq, files)
    with kiromi.open(root, read_only=False) as again:
        assert again.restore("then").applied
    assert counts(store.restore("then")) == (0, 0, 0, 0, 0)


def test_a_moment_is_named_as_for_at(store: kiromi.Store) -> None:
    memory = store.append("one", ANA)
    early = datetime.now(UTC)
    store.update(memory.id, content="two")
    for ref in (early, 1, "seq:1"):
        assert store.restore(ref).seq == 1
        assert store.get(memory.id).text == "one"
        store.update(memory.id, content=f"after {ref}")
    with pytest.raises(kiromi.SnapshotNotFound):
        store.restore("nothing")
    with pytest.raises(kiromi.SnapshotNotFound):
        store.restore(store.seq + 1)
    report = store.restore(0)  # there was nothing
    assert (report.removed, store.count()) == (1, 0)


def test_expired_memories_are_restored_like_others(store: kiromi.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    memory = store.append("one", ANA, expires_at=soon)
    store.snapshot("then")
    store.update(memory.id, expires_at=None)
    store.restore("then")
    assert store.get(memory.id).expires_at == soon
    later = int((soon + timedelta(hours=1)).timestamp() * 1e6)
    monkeypatch.setattr(caller_module, "now_micros", lambda: later)
    assert not store.exists(memory.id)
    store.delete(memory.id)
    assert counts(store.restore("then")) == (0, 1, 0, 0, 0)
    assert not store.exists(memory.id)
    assert store.diff("then").is_empty


def test_the_audit_log_tells_it(store: kiromi.Store) -> None:
    edited, gone = store.append("one", ANA), store.append("two", BOB)
    store.snapshot("then")
    store.update(edited.id, content="uno")
    store.delete(gone.id)
    new, seq = store.append("new", BOB), store.seq
    with store.context(actor="operator", run_id="r1", reason="wrong import"):
        report = store.restore("then")
    entries = store.audit(seq)
    assert {entry.actor for entry in entries} == {"operator"}
    told = {entry.memory_id: (entry.op, entry.detail.get("version")) for entry in entries if entry.memory_id}
    assert told == {
        edited.id: ("restore", [2, 3]),
        gone.id: ("undelete", [1, 2]),
        new.id: ("delete", 1),
    }
    assert [entry.op for entry in entries][:2] == ["snapshot", "restore"]
    assert entries[-1].detail["status"] == "done"
    assert (entries[-1].detail["removed"], entries[-1].detail["back"], entries[-1].detail["edited"]) == (1, 1, 1)
    assert report.snapshot is not None
    assert report.snapshot.reason == "before restoring seq 2"
    assert store.get(edited.id).run_id == "r1"


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_keys_that_changed_hands(store: kiromi.Store) -> None:
    made = [store.append(f"{i}", ANA, key=f"k{i}") for i in range(7)]
    ids = [memory.id for memory in made]
    store.snapshot("then")
    with store.transaction() as tx:
        for memory_id in ids[:5]:
            tx.update(memory_id, key=None)
        for i in range(5):  # a cycle through more memories than a batch has
            tx.update(ids[i], key=f"k{(i + 1) % 5}")
        tx.delete(ids[5])
        tx.update(ids[6], key="k5")  # a chain
        tx.append("new", ANA, key="k6")
    report = store.restore("then")
    assert (report.left, counts(report)) == ((), (1, 1, 6, 0, 0))
    assert [store.get(key=f"k{i}").id for i in range(7)] == ids
    assert store.diff("then").is_empty
    check_sound(store)


def test_a_key_that_somebody_else_has_now_stays_theirs(store: kiromi.Store) -> None:
    first, second = store.append("one", ANA, key="a"), store.append("two", ANA, key="b")
    store.snapshot("then")
    store.update(first.id, key="c")
    store.update(second.id, key="a")
    theirs = store.append("three", BOB, key="b")
    report = store.restore("then", ids=[first.id, second.id])
    # The second cannot have its key, so it keeps the first one's.
    assert reasons(report).keys() == {first.id, second.id}
    assert all("in use by another memory" in reason for reason in reasons(report).values())
    assert [store.get(key=key).id for key in "abc"] == [second.id, theirs.id, first.id]
    assert counts(store.restore("then"))[:3] == (1, 0, 2)
    assert [store.get(key=key).id for key in "ab"] == [first.id, second.id]


# -- supersession and links --------------------------------------------------------------------------------------------


def test_supersession_is_restored_and_told(store: kiromi.Store) -> None:
    old, new, other = (store.append(text, ANA) for text in ("old seat", "new seat", "other"))
    store.supersede(old.id, new.id)
    at = store.get(old.id).superseded_at
    store.snapshot("then")
    store.unsupersede(old.id)
    store.supersede(new.id, old.id)
    store.supersede(old.id, other.id)
    version = store.get(old.id).version
    assert counts(store.restore("then")) == (0, 0, 2, 0, 0)
    assert (store.get(old.id).superseded_by, store.get(old.id).superseded_at) == (new.id, at)
    assert store.get(old.id).version == version  # it is no edit
    assert [info.id for info in store.supersession_chain(old.id)] == [old.id, new.id]
    assert [one.winner for one in store.supersessions(old.id)][:2] != [None, None]
    last = {one.loser: one.winner for one in reversed(store.supersessions())}
    assert last == {old.id: new.id, new.id: None}
    assert [hit.id for hit in store.search("seat")] == [new.id]


def test_a_restored_part_makes_no_circle(store: kiromi.Store) -> None:
    old, new = store.append("old", ANA), store.append("new", BOB)
    store.supersede(old.id, new.id)
    store.snapshot("then")
    store.unsupersede(old.id)
    store.supersede(new.id, old.id)
    report = store.restore("then", within=ANA)
    assert "is superseded by it now" in reasons(report)[old.id]
    assert store.get(old.id).superseded_by is None
    assert store.restore("then").left == ()
    assert store.get(old.id).superseded_by == new.id


def test_links_of_deleted_memories_and_to_the_world(store: kiromi.Store) -> None:
    one, other = store.append("one", ANA), store.append("other", BOB)
    until = datetime(2030, 1, 1, tzinfo=UTC)
    with store.context(actor="ana"):
        store.link(one.id, "https://example.org/a", "derived", valid_until=until)
        store.link(one.id, "kiromi://partition/user=bob", weight=-1.5)
        store.link(other.id, one.id, note="n")
    store.snapshot("then")
    links = store.links()
    store.delete(one.id)
    for link in links:
        store.unlink(link.src, link.dst)
    assert counts(store.restore("then")) == (0, 1, 0, 0, 3)
    found = sorted(store.links(), key=lambda link: link.dst)
    assert [
        (link.src, link.dst, link.kind, link.weight, link.note, link.valid_until, link.actor) for link in found
    ] == [
        (link.src, link.dst, link.kind, link.weight, link.note, link.valid_until, "ana")
        for link in sorted(links, key=lambda link: link.dst)
    ]


def test_a_link_that_was_changed(store: kiromi.Store) -> None:
    one, other = store.append("one", ANA), store.append("other", BOB)
    made = store.link(one.id, other.id, weight=0.5, note="n")
    store.snapshot("then")
    store.link(one.id, other.id, weight=0.75)
    report = store.restore("then")
    assert counts(report) == (0, 0, 0, 0, 1)
    [link] = store.links()
    assert (link.weight, link.note, link.actor, link.seq > made.seq) == (0.5, "n", "tester", True)
    assert [entry.detail["changed"] for entry in store.audit(report.base_seq) if entry.op == "link"] == [
        ["weight", "note"]
    ]


# -- parts -------------------------------------------------------------------------------------------------------------


def test_within_a_partition_now_or_then(store: kiromi.Store) -> None:
    stays, left, came = store.append("a", ANA), store.append("b", ANA), store.append("c", BOB)
    other = store.append("d", BOB)
    store.link(stays.id, left.id)
    store.link(stays.id, other.id)
    store.snapshot("then")
    store.update(stays.id, content="aa")
    store.update(left.id, partition=BOB)
    store.update(came.id, partition=ANA)
    store.update(other.id, content="dd")
    store.unlink(stays.id, left.id)
    store.unlink(stays.id, other.id)
    report = store.restore("then", within=ANA)
    assert counts(report) == (0, 0, 3, 0, 1)
    assert store.diff("then", within=ANA).is_empty
    diff = store.diff("then")
    assert [one.id for one in diff.changed] == [other.id]
    assert [link.last.dst for link in diff.links] == [f"kiromi://memory/{other.id}"]
    assert store.get(came.id).partition["user"] == "bob"


def test_some_ids_and_their_links(store: kiromi.Store) -> None:
    one, other, third = (store.append(text, ANA) for text in "abc")
    store.link(one.id, other.id)
    store.link(other.id, third.id)
    store.snapshot("then")
    for memory in (one, other, third):
        store.delete(memory.id)
    store.unlink(one.id, other.id)
    store.unlink(other.id, third.id)
    assert counts(store.restore("then", ids=[one.id])) == (0, 1, 0, 0, 1)
    assert store.list_ids() == [one.id]
    assert counts(store.restore("then", ids=iter([other.id, other.id]))) == (0, 1, 0, 0, 1)
    assert store.restore("then", ids=[]).snapshot is None
    with pytest.raises(kiromi.MemoryNotFound):
        store.restore("then", ids=["01ARZ3NDEKTSV4RRFFQ69G5F00"])
    for wrong in ("x", [1], one.id):
        with pytest.raises(kiromi.InvalidInput):
            store.restore("then", ids=wrong)  # type: ignore[arg-type]
    with pytest.raises(kiromi.InvalidInput):
        store.restore("then", within={"nothing": "x"})


def test_a_scoped_handle_stays_within_its_scope(store: kiromi.Store) -> None:
    stays, moved_out, moved_in = store.append("a", ANA), store.append("b", ANA), store.append("c", BOB)
    theirs, out_and_gone = store.append("d", BOB), store.append("e", ANA)
    store.link(stays.id, theirs.id)
    store.snapshot("then")
    ana = store.scoped(ANA)
    store.update(stays.id, content="aa")
    store.update(moved_out.id, partition=BOB)
    store.update(moved_in.id, partition=ANA)
    store.update(theirs.id, content="dd")
    store.update(out_and_gone.id, partition=BOB)
    store.delete(out_and_gone.id)
    store.unlink(stays.id, theirs.id)
    bob = state(store.scoped(BOB))
    report = ana.restore("then")
    assert counts(report) == (0, 0, 1, 0, 0)
    assert reasons(report).keys() == {moved_out.id, moved_in.id, out_and_gone.id}
    assert ana.get(stays.id).text == "a"
    assert state(store.scoped(BOB)) == bob
    with pytest.raises(kiromi.MemoryNotFound):
        ana.restore("then", ids=[theirs.id])
    assert store.restore("then").left == ()
    assert store.diff("then").is_empty


# -- schemes and models ------------------------------------------------------------------------------------------------


def test_the_scheme_of_then(store: kiromi.Store, root: Path) -> None:
    memories = [store.append(f"{i}", ANA if i % 2 else BOB) for i in range(6)]
    store.snapshot("then")
    on_disk = data_files(root)
    evolve(store)
    for memory in memories[:4]:
        move(store, memory.id)
    later = store.append("under the new one", ANA)
    now = state(store)
    report = store.restore("then", within=ANA)
    assert (counts(report), report.scheme, store.scheme) == ((1, 0, 0, 2, 0), None, OTHER)
    whole = store.restore("then")
    assert (counts(whole), whole.scheme, store.scheme) == ((0, 0, 0, 2, 0), SCHEME, SCHEME)
    assert data_files(root) == on_disk
    assert store.get(memories[0].id).version == 1  # a move is no edit
    assert store.append("new", ANA).scheme == 1
    check_sound(store)
    assert report.snapshot is not None
    assert store.restore(report.snapshot).scheme == OTHER
    assert state(store) == now
    assert store.exists(later.id)


def test_only_the_scheme(store: kiromi.Store) -> None:
    store.snapshot("then")
    evolve(store)
    report = store.restore("then")
    assert (report.scheme, report.batches, store.scheme) == (SCHEME, 0, SCHEME)
    assert store.at("then").scheme == SCHEME


def test_vectors_come_back_with_their_contents(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme=SCHEME, embedder=HashingEmbedder(16)) as store:
        for i in range(5):
            store.append(f"aisle seat {i}", ANA, title="t")
        train = store.append("night train", BOB)
        store.snapshot("then")
        found = hits(store)
        store.update(train.id, content="aisle seat and more")
        store.delete_where(within=ANA, dry_run=False)
        assert hits(store) != found
        assert store.restore("then").pending == 0
        assert hits(store) == found


def test_a_vector_that_was_given_anew(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme=SCHEME, embedder=CallerVectors(2)) as store:
        memory = store.append("same text", ANA, vector=[1.0, 0.0])
        store.snapshot("then")
        store.update(memory.id, vector=[0.0, 1.0])
        plan = store.restore("then", dry_run=True)
        assert [one.fields for one in plan.sample] == [("vector",)]
        assert counts(store.restore("then")) == (0, 0, 1, 0, 0)
        [hit] = store.search(vector=[1.0, 0.0])
        assert hit.score == pytest.approx(1.0)


def test_contents_without_vectors_of_the_present_model_get_them(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme=SCHEME, embedder="hash:16") as store:
        memory = store.append("aisle seat", ANA)
        store.snapshot("then")
        store.delete(memory.id)
        store.append("window", BOB)
        store.reembed("hash:8")
        steps: list[tuple[str, int, int]] = []
        report = store.restore("then", on_progress=lambda *step: steps.append(step))
        assert (report.pending, steps) == (0, [("memories", 2, 2), ("vectors", 1, 1)])
        assert [hit.id for hit in store.search("aisle seat", mode="vector")] == [memory.id]
        assert [model.name for model in store.models() if model.is_active] == ["hash-1-8"]


def test_an_embedder_that_fails_fails_no_restore(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme=SCHEME, embedder="hash:16") as store:
        memory = store.append("aisle seat", ANA)
        store.snapshot("then")
        store.delete(memory.id)
        model = Watched(8)
        store.reembed(model)
        model.before = fail
        assert store.restore("then").pending == 1
        assert [hit.id for hit in store.search("aisle seat", mode="text")] == [memory.id]
        model.before = None
        assert store.reindex().embedded == 1
        assert [hit.id for hit in store.search("aisle seat", mode="vector")] == [memory.id]


def test_on_an_object_store(tmp_path: Path) -> None:
    root = f"memory://restore-{tmp_path.name}"
    with kiromi.open(root, scheme=SCHEME, catalog=tmp_path) as store:
        edited, gone = store.append("one", ANA), store.append("two", BOB)
        store.snapshot("then")
        then = state(store)
        store.update(edited.id, content="uno", partition=BOB)
        store.delete(gone.id)
        store.append("new", BOB)
        report = store.restore("then")
        assert (state(store), store.stats().pending) == (then, 0)
        check_sound(store)
        assert report.snapshot is not None
        store.restore(report.snapshot)
        assert store.get(edited.id).text == "uno"
        check_sound(store)
