"""Import: upsert by key in two passes, prune, refusals, and round trips through every format."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi import BatchReport, Draft, InvalidInput, Memory, Store
from kiromi.operations import importing

SCHEME = "topic={topic|inbox}"
PEPS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "peps"
ID_A, ID_B = "01J000000000000000000000AA", "01J000000000000000000000AB"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with kiromi.open(tmp_path / "store", scheme=SCHEME, durability="relaxed") as opened:
        yield opened


@pytest.fixture(params=["kept", "read again"])
def passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with what pass 1 read kept for pass 2, and with the source read once more."""
    if request.param == "read again":
        monkeypatch.setattr(importing, "HELD_BYTES", -1)


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "HELD_BYTES", -1)


def folder(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def jsonl(path: Path, *records: dict[str, Any] | str) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def contents(store: Store, namespace: str | None = None) -> dict[str | None, bytes]:
    found = store.get_many(store.list_ids())
    return {memory.key: memory.data for memory in found if namespace in (None, memory.namespace)}


def bad_of(error: pytest.ExceptionInfo[InvalidInput]) -> dict[str, str]:
    return {item["position"]: item["reason"] for item in error.value.details["bad"]}


def counts(report: kiromi.ImportReport) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.unchanged, report.pruned


# -- upsert by key -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("passes")
def test_an_import_adds_every_file_under_its_path(store: Store, tmp_path: Path) -> None:
    front = "---\ntitle: One\ntopic: travel\nstars: 3\n---\nbody\r\n"
    source = folder(tmp_path / "notes", {"a.md": front, "deep/er/b.txt": "text", "deep/c.json": "{}", "x.png": b"\xff"})
    report = store.import_from(source)
    assert counts(report) == (3, 0, 0, 0)
    assert (report.applied, report.namespace, report.read, report.skipped) == (True, "notes", 3, ())
    assert (report.batches, report.first_seq, report.last_seq) == (1, 1, 1)
    memory = store.get(key="a.md", namespace="notes")
    assert (memory.text, memory.title, memory.attributes["stars"]) == (front, "One", 3)
    assert memory.path.startswith("data/topic=travel/")
    assert store.get(key="deep/er/b.txt", namespace="notes").media_type == "text/plain"


@pytest.mark.usefixtures("passes")
def test_a_second_import_touches_only_what_changed(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {f"{name}.md": f"text {name}" for name in "abcd"})
    store.import_from(source)
    before = {item.key: item for item in store.list().items}
    report = store.import_from(source)
    assert counts(report) == (0, 0, 4, 0)
    assert (report.batches, report.first_seq, report.last_seq, store.seq) == (0, None, None, 1)

    folder(source, {"b.md": "other", "c.md": "---\ntitle: now with one\n---\n", "e.md": "new"})
    (source / "d.md").unlink()
    report = store.import_from(source, batch_size=1)
    assert counts(report) == (1, 2, 1, 0)
    assert (report.batches, report.first_seq, report.last_seq) == (3, 2, 4)
    after = {item.key: item for item in store.list().items}
    assert {key: item.version for key, item in after.items()} == {"a.md": 1, "b.md": 2, "c.md": 2, "d.md": 1, "e.md": 1}
    assert all(after[key].id == item.id and after[key].created_at == item.created_at for key, item in before.items())
    assert after["c.md"].title == "now with one"
    assert contents(store)["b.md"] == b"other"


def test_only_a_changed_front_matter_moves_a_memory(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {"a.md": "---\ntopic: x\n---\n"})
    store.import_from(source)
    folder(source, {"a.md": "---\ntopic: y\n---\n"})
    store.import_from(source)
    memory = store.get(key="a.md", namespace="notes")
    assert (memory.version, memory.partition) == (2, {"topic": "y"})


def test_the_namespace_is_the_folder_unless_it_is_named(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    source = folder(tmp_path / "notes", {"a.md": "text"})
    monkeypatch.chdir(source)
    assert store.import_from(".").namespace == "notes"
    assert store.import_from(source, source_name="mine").namespace == "mine"
    assert store.import_from(jsonl(tmp_path / "set.jsonl", {"content": "x", "key": "k"})).namespace == "set"
    assert [item.namespace for item in store.list().items] == ["notes", "mine", "set"]


def test_rename_reads_front_matter_under_another_name(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {"a.md": "---\ncreated: 2001-02-03\n---\n"})
    store.import_from(source, rename={"event_at": "created"})
    memory = store.get(key="a.md", namespace="notes")
    assert memory.event_at == datetime(2001, 2, 3, tzinfo=UTC)
    assert memory.attributes == {"created": date(2001, 2, 3)}


def test_records_without_key_and_id_are_added_each_time(store: Store, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "set.jsonl", {"content": "one"}, {"content": "two"})
    assert counts(store.import_from(source)) == counts(store.import_from(source)) == (2, 0, 0, 0)
    assert store.count() == 4


def test_columns_of_csv_have_the_types_that_are_given(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("key,content,stars,topic\nk,text,3,x\n")
    assert counts(store.import_from(path, types={"stars": "int"})) == (1, 0, 0, 0)
    assert store.get(key="k", namespace="set").attributes == {"stars": 3, "topic": "x"}
    assert counts(store.import_from(path, types={"stars": "int"})) == (0, 0, 1, 0)
    assert counts(store.import_from(path)) == (0, 1, 0, 0)


def test_links_are_counted_and_left_out(store: Store, tmp_path: Path) -> None:
    link = {"kind": "see", "dst": "https://example.org"}
    source = jsonl(tmp_path / "set.jsonl", {"content": "x", "links": [link, link]}, {"content": "y", "links": [link]})
    assert store.import_from(source).links_ignored == 3


# -- batches -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("passes")
def test_each_batch_is_one_operation_and_is_reported_when_it_is_there(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {f"{number}.md": f"{number}" for number in range(5)})
    seen: list[BatchReport] = []
    progress: list[tuple[int, int | None]] = []

    def on_batch(batch: BatchReport) -> None:
        seen.append(batch)
        assert len(store.get_many(batch.ids)) == len(batch.ids)
        assert all(item.seq == batch.seq for item in store.get_many(batch.ids))

    report = store.import_from(
        source, batch_size=2, on_batch=on_batch, on_progress=lambda done, total: progress.append((done, total))
    )
    assert [(batch.number, batch.seq, len(batch.ids)) for batch in seen] == [(1, 1, 2), (2, 2, 2), (3, 3, 1)]
    assert (report.batches, report.first_seq, report.last_seq) == (3, 1, 3)
    assert progress == [(2, None), (4, None), (5, None), (2, 5), (4, 5), (5, 5)]
    assert [entry.op for entry in store.audit()] == ["append"] * 5


def test_an_import_that_is_stopped_between_batches_goes_on_where_it_was(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {f"{number}.md": f"{number}" for number in range(6)})

    def stop(batch: BatchReport) -> None:
        if batch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.import_from(source, batch_size=2, on_batch=stop)
    assert store.count() == 4
    assert counts(store.import_from(source, batch_size=2)) == (2, 0, 4, 0)
    assert counts(store.import_from(source)) == (0, 0, 6, 0)


def test_a_batch_ends_before_it_is_too_large_for_memory(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_BATCH_BYTES", 10)
    source = folder(tmp_path / "notes", {f"{number}.md": "12345" for number in range(5)})
    assert store.import_from(source).batches == 3


# -- pass 1 ------------------------------------------------------------------------------------------------------------


def test_nothing_is_written_if_any_file_is_bad(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"good{number}.md": f"---\ntopic: {number}\n---\n" for number in range(5)}
    files |= {"a.md": "no topic", "b.md": b"---\ntopic: x\n---\n\xff", "c.md": "---\ntopic: {x: 1}\n---\n"}
    files |= {"d.md": "---\ntopic: ''\n---\n", "z/e.md": "---\ntopic: x\ntitle: [1]\n---\n"}
    source = folder(tmp_path / "notes", files)
    with kiromi.open(tmp_path / "store", scheme="topic={topic}", durability="relaxed") as store:
        with pytest.raises(
            InvalidInput, match=r"5 of 10 records of .* are bad, nothing was written: .*; and 2 more"
        ) as e:
            store.import_from(source, batch_size=2)
        assert bad_of(e).keys() == {"a.md", "b.md", "c.md", "d.md", "z/e.md"}
        assert "'topic' is absent" in bad_of(e)["a.md"]
        assert "not UTF-8" in bad_of(e)["b.md"]
        assert (store.seq, store.count()) == (0, 0)
        assert not list((tmp_path / "store" / "default").rglob("*.md"))

        report = store.import_from(source, batch_size=2, on_error="skip")
        assert counts(report) == (5, 0, 0, 0)
        assert dict(report.skipped) == bad_of(e)
        assert report.read == 10


@pytest.mark.usefixtures("passes")
def test_a_dry_run_says_what_an_import_does(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {f"{name}.md": name for name in "abc"})
    store.import_from(source)
    folder(source, {"a.md": "changed", "d.md": "new"})
    (source / "b.md").unlink()
    planned = store.import_from(source, prune=True, dry_run=True)
    assert counts(planned) == (1, 1, 1, 1)
    assert (planned.applied, planned.batches, store.seq) == (False, 0, 1)
    assert contents(store) == {"a.md": b"a", "b.md": b"b", "c.md": b"c"}
    assert counts(store.import_from(source, prune=True)) == counts(planned)
    assert contents(store) == {"a.md": b"changed", "c.md": b"c", "d.md": b"new"}


def test_a_dry_run_needs_no_right_to_write(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {"a.md": "text"})
    store.import_from(source)
    store.close()
    with kiromi.open(tmp_path / "store", read_only=True) as reader:
        assert counts(reader.import_from(source, dry_run=True)) == (0, 0, 1, 0)
        with pytest.raises(InvalidInput, match="read-only"):
            reader.import_from(source)


@pytest.mark.parametrize(
    ("records", "bad"),
    [
        ([{"key": "k"}, {"key": "k"}], {"line 2": "the key 'k' is that of line 1 already"}),
        ([{"id": ID_A}, {"id": ID_A, "key": "k"}], {"line 2": f"the id {ID_A} is that of line 1 already"}),
        ([{"key": "taken", "id": ID_B}], {"line 1": f"key 'taken' is in use by another id than {ID_B}"}),
        (
            [{"key": "other", "id": ID_A}],
            {"line 1": f"id {ID_A} is that of a memory with the key 'taken' in namespace 'set', not 'other' in 'set'"},
        ),
        (
            [{"id": ID_A}],
            {"line 1": f"id {ID_A} is that of a memory with the key 'taken' in namespace 'set', not None"},
        ),
        (
            [{"key": "taken", "namespace": "else", "id": ID_A}],
            {"line 1": f"id {ID_A} is that of a memory with the key 'taken' in namespace 'set', not 'taken' in 'else'"},
        ),
    ],
)
def test_keys_and_ids_that_contradict_the_source_or_the_store_are_bad(
    store: Store, tmp_path: Path, records: list[dict[str, str]], bad: dict[str, str]
) -> None:
    if "line 1" in bad:
        store.append("there", key="taken", namespace="set", id=ID_A)
    source = jsonl(tmp_path / "set.jsonl", *({"content": "x", **record} for record in records))
    seq = store.seq
    with pytest.raises(InvalidInput) as error:
        store.import_from(source)
    found = bad_of(error)
    assert found.keys() == bad.keys()
    assert all(found[position].startswith(reason) for position, reason in bad.items())
    assert store.seq == seq
    report = store.import_from(source, on_error="skip")
    assert (report.added, dict(report.skipped)) == (len(records) - 1, found)


def test_the_same_key_in_two_namespaces_is_two_memories(store: Store, tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "set.jsonl",
        {"content": "x", "key": "k"},
        {"content": "y", "key": "k", "namespace": "other"},
        {"content": "z", "key": "k", "namespace": ""},
    )
    assert counts(store.import_from(source)) == (3, 0, 0, 0)
    assert store.get(key="k").text == "z"


def test_a_record_with_an_id_updates_the_memory_of_that_id(store: Store, tmp_path: Path) -> None:
    store.append("before", id=ID_A)
    source = jsonl(tmp_path / "set.jsonl", {"content": "after", "id": ID_A, "namespace": ""})
    assert counts(store.import_from(source)) == (0, 1, 0, 0)
    assert store.get(ID_A).text == "after"
    assert counts(store.import_from(source)) == (0, 0, 1, 0)


@pytest.mark.parametrize("content", ["same", "other"])
def test_an_id_that_was_deleted_comes_back_as_its_next_version(store: Store, tmp_path: Path, content: str) -> None:
    store.append("first", id=ID_A, key="k", namespace="set")
    store.update(ID_A, content="same")
    store.delete(ID_A)
    source = jsonl(tmp_path / "set.jsonl", {"content": content, "id": ID_A, "key": "k"})
    assert counts(store.import_from(source, dry_run=True)) == (1, 0, 0, 0)
    assert counts(store.import_from(source)) == (1, 0, 0, 0)
    memory = store.get(key="k", namespace="set")
    assert (memory.id, memory.version, memory.text) == (ID_A, 3, content)
    assert [version.info.version for version in store.history(ID_A)] == [3, 2, 1]
    assert store.audit()[-1].op == "undelete"
    # A content's number is never used for other bytes.
    names = {path.name for path in (tmp_path / "store").rglob(f"{ID_A}.*")}
    assert len(names) == (2 if content == "same" else 3)
    store.close()
    with kiromi.open(tmp_path / "store") as again:
        assert again.get(ID_A).text == content


def test_a_deleted_id_that_had_another_key_is_bad(store: Store, tmp_path: Path) -> None:
    store.append("first", id=ID_A, key="old", namespace="set")
    store.delete(ID_A)
    with pytest.raises(InvalidInput, match="is that of a memory with the key 'old'"):
        store.import_from(jsonl(tmp_path / "set.jsonl", {"content": "x", "id": ID_A, "key": "k"}))


# -- guards and scopes -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("passes")
def test_guards_see_every_record(tmp_path: Path) -> None:
    def guard(draft: Draft) -> Draft:
        if b"secret" in draft.content:
            raise ValueError("it holds a secret")
        return replace(draft, content=draft.content.upper()) if draft.content.islower() else draft

    source = folder(tmp_path / "notes", {"a.md": "plain", "b.md": "a secret", "c.md": "SHOUTED"})
    with kiromi.open(tmp_path / "store", scheme=SCHEME, durability="relaxed", guards=[guard]) as store:
        with pytest.raises(InvalidInput) as error:
            store.import_from(source)
        assert bad_of(error) == {"b.md": "it holds a secret"}
        assert counts(store.import_from(source, on_error="skip")) == (2, 0, 0, 0)
        assert contents(store) == {"a.md": b"PLAIN", "c.md": b"SHOUTED"}
        assert counts(store.import_from(source, on_error="skip")) == (0, 0, 2, 0)


def test_a_guard_that_refuses_lets_no_memory_be_pruned(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "set.jsonl", {"content": "x", "key": "k"}, {"content": "y"})
    with kiromi.open(tmp_path / "store", scheme=SCHEME, durability="relaxed") as store:
        store.import_from(source)

    def refuse(draft: Draft) -> Draft:
        raise InvalidInput("no")

    with kiromi.open(tmp_path / "store", guards=[refuse]) as guarded:
        with pytest.raises(InvalidInput, match="what disappeared"):
            guarded.import_from(source, on_error="skip", prune=True)
        assert guarded.count() == 2


def test_a_scoped_handle_imports_and_prunes_inside_its_scope_only(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {"a.md": "---\ntopic: mine\n---\n", "b.md": "no topic"})
    store.append("elsewhere", {"topic": "theirs"}, key="z.md", namespace="notes")
    mine = store.scoped({"topic": "mine"})
    assert counts(mine.import_from(source, prune=True)) == (2, 0, 0, 0)
    assert {item.key for item in mine.list().items} == {"a.md", "b.md"}
    assert counts(mine.import_from(source)) == (0, 0, 2, 0)

    folder(source, {"c.md": "---\ntopic: theirs\n---\n", "z.md": "taken there"})
    with pytest.raises(InvalidInput) as error:
        mine.import_from(source)
    assert "outside the scope" in bad_of(error)["c.md"]
    assert bad_of(error)["z.md"] == "key 'z.md' is in use outside the scope of this handle"
    assert mine.count() == 2
    assert store.get(key="z.md", namespace="notes").text == "elsewhere"

    (source / "a.md").unlink()
    assert mine.import_from(source, prune=True, on_error="skip").pruned == 1
    assert store.count() == 2


def test_a_scoped_handle_cannot_take_an_id_from_outside(store: Store, tmp_path: Path) -> None:
    store.append("elsewhere", {"topic": "theirs"}, id=ID_A)
    source = jsonl(tmp_path / "set.jsonl", {"content": "x", "id": ID_A})
    with pytest.raises(InvalidInput, match=f"id {ID_A} is in use outside the scope"):
        store.scoped({"topic": "mine"}).import_from(source)


# -- prune -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("passes")
def test_prune_deletes_what_disappeared_from_that_source_only(store: Store, tmp_path: Path) -> None:
    one = folder(tmp_path / "one", {f"{name}.md": name for name in "abcde"})
    store.import_from(one)
    store.import_from(folder(tmp_path / "two", {"a.md": "two", "b.md": "two"}))
    store.put("mine", key="b.md")
    store.append("no key", namespace="one")
    for name in "bcd":
        (one / f"{name}.md").unlink()
    batches: list[BatchReport] = []
    report = store.import_from(one, prune=True, batch_size=2, on_batch=batches.append)
    assert counts(report) == (0, 0, 2, 3)
    assert [len(batch.ids) for batch in batches] == [2, 1]
    assert contents(store, "one") == {"a.md": b"a", "e.md": b"e", None: b"no key"}
    assert contents(store, "two").keys() == {"a.md", "b.md"}
    assert store.get(key="b.md").text == "mine"
    assert [store.history(memory_id)[0].info.key for memory_id in batches[0].ids] == ["b.md", "c.md"]
    assert counts(store.import_from(one, prune=True)) == (0, 0, 2, 0)


@pytest.mark.usefixtures("passes")
def test_prune_keeps_what_cannot_be_read(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {"a.md": "a", "b.md": "b", "sub/c.md": "c", "subs/d.md": "d"})
    store.import_from(source)
    (source / "a.md").write_bytes(b"\xff")
    (source / "b.md").unlink()
    (source / "sub").rename(tmp_path / "moved")
    (source / "sub").symlink_to(tmp_path / "moved")
    (source / "subs" / "d.md").unlink()
    report = store.import_from(source, prune=True, on_error="skip")
    assert {position for position, _ in report.skipped} == {"a.md", "sub"}
    assert contents(store).keys() == {"a.md", "sub/c.md"}


def test_prune_refuses_a_source_whose_bad_records_might_be_anything(store: Store, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "set.jsonl", {"content": "x", "key": "k"}, {"content": "y", "key": "l"})
    store.import_from(source)
    jsonl(source, {"content": "x", "key": "k"}, "{")
    with pytest.raises(InvalidInput, match="line 2 and perhaps more cannot be read, so what disappeared"):
        store.import_from(source, prune=True, on_error="skip")
    assert store.count() == 2

    store.export_to(tmp_path / "out", metadata=True)
    (tmp_path / "out" / "l").write_text("changed since")
    with pytest.raises(InvalidInput, match="what disappeared"):
        store.import_from(tmp_path / "out", prune=True, on_error="skip")


def test_prune_keeps_what_somebody_changed_meanwhile(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {f"{name}.md": name for name in "abc"})
    store.import_from(source)
    for name in "abc":
        (source / f"{name}.md").unlink()

    def change(batch: BatchReport) -> None:
        store.put("changed", key="b.md", namespace="notes")

    assert store.import_from(source, prune=True, batch_size=1, on_batch=change).pruned == 2
    assert contents(store) == {"b.md": b"changed"}


# -- between the passes ------------------------------------------------------------------------------------------------


def once(change: Callable[[], object], after: int) -> Callable[[int, int | None], None]:
    """Return an ``on_progress`` that makes a change when pass 1 has read so many records."""

    def on_progress(done: int, total: int | None) -> None:
        if (done, total) == (after, None):
            change()

    return on_progress


@pytest.mark.usefixtures("read_again")
def test_a_file_that_went_bad_after_pass_1_stops_the_import(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {f"{name}.md": name for name in "abcd"})
    spoil = once(lambda: (source / "c.md").write_bytes(b"\xff"), after=4)
    with pytest.raises(
        InvalidInput, match=r"c\.md: .*not UTF-8.* changed while .* staying: 1 batches up to seq 1;"
    ) as e:
        store.import_from(source, batch_size=2, on_progress=spoil)
    assert (e.value.details["batches"], e.value.details["last_seq"]) == (1, 1)
    assert bad_of(e).keys() == {"c.md"}
    assert contents(store).keys() == {"a.md", "b.md"}


@pytest.mark.usefixtures("read_again")
def test_skip_reports_a_file_that_went_bad_after_pass_1(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {f"{name}.md": name for name in "abcd"})
    spoil = once(lambda: (source / "c.md").write_bytes(b"\xff"), after=4)
    report = store.import_from(source, on_error="skip", on_progress=spoil)
    assert [position for position, _ in report.skipped] == ["c.md"]
    assert contents(store).keys() == {"a.md", "b.md", "d.md"}


@pytest.mark.usefixtures("read_again")
def test_a_file_that_appears_after_pass_1_is_not_pruned(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {"a.md": "a"})
    report = store.import_from(source, prune=True, on_progress=once(lambda: folder(source, {"b.md": "b"}), after=1))
    assert counts(report) == (2, 0, 0, 0)


@pytest.mark.usefixtures("read_again")
def test_a_source_that_disappears_after_pass_1_stops_the_import(store: Store, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "set.jsonl", {"content": "x", "key": "k"})
    with pytest.raises(InvalidInput, match="staying: nothing yet; import again"):
        store.import_from(source, on_progress=once(source.unlink, after=1))
    assert store.count() == 0


@pytest.mark.usefixtures("passes")
def test_a_batch_is_planned_upon_what_others_wrote_since_pass_1(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {"a.md": "a", "b.md": "b"})
    other = once(lambda: store.put("theirs", key="a.md", namespace="notes"), after=2)
    assert counts(store.import_from(source, on_progress=other)) == (1, 1, 0, 0)
    assert contents(store) == {"a.md": b"a", "b.md": b"b"}


@pytest.mark.usefixtures("passes")
def test_an_id_that_others_took_since_pass_1_stops_the_import(store: Store, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "set.jsonl", {"content": "x", "key": "k"}, {"content": "y", "id": ID_A})
    take = once(lambda: store.append("theirs", id=ID_A, key="theirs"), after=2)
    with pytest.raises(InvalidInput, match=r"line 2: id .* is that of a memory with the key 'theirs'"):
        store.import_from(source, on_progress=take)
    assert contents(store) == {"theirs": b"theirs"}


# -- refused arguments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_error": "ignore"}, "on_error='ignore'; accepted"),
        ({"batch_size": 0}, "batch_size=0 is not a whole number"),
        ({"batch_size": "9"}, "batch_size='9' is not a whole number"),
        ({"format": "yaml"}, "format 'yaml': expected one of markdown, jsonl, parquet, csv"),
        ({"source_name": ""}, "source name ''"),
        ({"source_name": "x" * 1025}, "expected text of 1 to 1,024 bytes"),
        ({"source_name": "\ud800"}, "give one with source_name="),
        ({"rename": {"event_at": "created"}}, "rename= is for the front matter"),
        ({"types": {"x": "int"}}, "types= is for the columns of a CSV file"),
    ],
)
def test_refused_arguments(store: Store, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    source = jsonl(tmp_path / "set.jsonl", {"content": "x"})
    with pytest.raises(InvalidInput, match=message):
        store.import_from(source, **arguments)
    assert store.count() == 0


def test_a_source_has_to_be_there_and_to_say_its_format(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not there"):
        store.import_from(tmp_path / "absent")
    (tmp_path / "set.txt").write_text('{"content": "x"}')
    with pytest.raises(InvalidInput, match="does not say its format"):
        store.import_from(tmp_path / "set.txt")
    assert store.import_from(tmp_path / "set.txt", format="jsonl").added == 1
    with pytest.raises(InvalidInput, match="source name ''"):
        store.import_from(os.sep)


def test_an_import_is_no_part_of_a_transaction(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path / "notes", {"a.md": "a"})
    with store.transaction(), pytest.raises(InvalidInput, match="a transaction is open"):
        store.import_from(source)


# -- round trips -------------------------------------------------------------------------------------------------------


def fill(store: Store) -> None:
    moment = datetime(2020, 2, 3, 4, 5, 6, 789, UTC)
    store.append(
        "text\r\n",
        {"topic": "Ä/b"},
        key="a.md",
        namespace="notes",
        title="Title",
        tags=["x", "y"],
        kind="semantic",
        language="de",
        importance=0.5,
        confidence=1.0,
        event_at=moment,
        valid_from=moment,
        valid_until=moment.replace(year=2030),
        created_at=moment.replace(year=2001),
        attributes={"n": 3, "f": 0.5, "d": Decimal("1.10"), "day": date(2001, 1, 1), "at": moment, "l": (1, 2)},
    )
    store.append(b"\x00\xff", key="b", namespace="notes")
    store.append("", {"topic": None})
    store.append("{}", media_type="application/json", key="../odd", attributes={"none": None, "t": True})
    first = store.append("to be changed", key="k")
    store.update(first.id, content="changed", tags=["new"])


def whole(store: Store) -> dict[str, dict[str, Any]]:
    derived = {"version", "seq", "run_id"}
    return {
        memory.id: {f.name: getattr(memory, f.name) for f in fields(Memory) if f.name not in derived} | {"path": ""}
        for memory in store.get_many(store.list_ids())
    }


@pytest.mark.usefixtures("passes")
@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("out.jsonl", {}),
        ("out.csv", {}),
        ("out.parquet", {}),
        ("out.parquet", {"partitioned": True}),
        ("out", {"metadata": True}),
    ],
    ids=["jsonl", "csv", "parquet", "hive", "markdown"],
)
def test_an_export_comes_back_into_an_empty_store(
    store: Store, tmp_path: Path, target: str, options: dict[str, Any]
) -> None:
    fill(store)
    store.export_to(tmp_path / target, **options)
    with kiromi.open(tmp_path / "other", scheme=SCHEME, durability="relaxed") as other:
        assert counts(other.import_from(tmp_path / target)) == (5, 0, 0, 0)
        assert whole(other) == whole(store)
        assert {item.version for item in other.list().items} == {1}
        assert counts(other.import_from(tmp_path / target)) == (0, 0, 5, 0)
    assert counts(store.import_from(tmp_path / target)) == (0, 0, 5, 0)


@pytest.mark.skipif(not PEPS.is_dir(), reason="the corpus is not beside the repository")
def test_the_peps_go_in_and_come_out_byte_for_byte(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "store", scheme="type={type}/status={status}", durability="relaxed") as store:
        assert counts(store.import_from(PEPS)) == (736, 0, 0, 0)
        assert counts(store.import_from(PEPS, prune=True)) == (0, 0, 736, 0)
        sizes = {node.path: node.count for node in store.partitions(depth=1)}
        assert sizes == {"type=Standards Track": 579, "type=Informational": 104, "type=Process": 53}
        store.export_to(tmp_path / "out")
    exported = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert exported == {path.name: path.read_bytes() for path in PEPS.glob("*.md")}
