"""append_many: batches that are all or nothing, acknowledged one by one, in constant memory."""

import gc
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import kiromi
from tests.operations.tree import data_files, staged_files

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def records(count: int, *, first: int = 0) -> Iterator[dict[str, Any]]:
    for i in range(first, first + count):
        yield {"content": f"memory {i}", "partition": {"user": f"u{i % 3}"}, "attributes": {"i": i}, "key": f"k{i}"}


def test_batches_are_reported_once_they_are_durable(store: kiromi.Store) -> None:
    reports: list[kiromi.BatchReport] = []

    def note(report: kiromi.BatchReport) -> None:
        reports.append(report)
        assert all(store.get(memory_id).seq == report.seq for memory_id in report.ids)

    report = store.append_many(records(25), batch_size=10, on_batch=note)
    assert (report.appended, report.batches, report.first_seq, report.last_seq) == (25, 3, 1, 3)
    assert [(r.number, r.seq, len(r.ids)) for r in reports] == [(1, 1, 10), (2, 2, 10), (3, 3, 5)]
    ids = [memory_id for r in reports for memory_id in r.ids]
    assert ids == sorted(ids) == store.list_ids()
    assert [m.text for m in store.get_many(ids)] == [f"memory {i}" for i in range(25)]


@pytest.mark.parametrize(
    "empty", [[], iter(()), pa.table({"content": pa.array([], pa.string())})], ids=["list", "iterator", "table"]
)
def test_nothing_makes_no_batch(store: kiromi.Store, empty: Any) -> None:
    assert store.append_many(empty) == kiromi.AppendReport(0, 0, None, None)
    assert store.seq == 0


def arrow() -> pa.Table:
    return pa.table(
        {
            "content": ["a", "b", None],
            "media_type": [None, "text/plain", None],
            "partition": [{"user": "ana"}, {"user": "bob"}, {"user": "ana"}],
            "attributes": [{"n": 1, "f": 0.5}, {"n": 2, "f": None}, None],
            "tags": [["x"], None, []],
            "event_at": pa.array([AT, None, None], pa.timestamp("us", "UTC")),
        }
    ).slice(0, 2)


@pytest.mark.parametrize("form", [lambda: arrow(), lambda: arrow().to_reader(max_chunksize=1)], ids=["table", "reader"])
def test_arrow_data(store: kiromi.Store, form: Any) -> None:
    assert store.append_many(form()).appended == 2
    first, second = store.get_many(store.list_ids())
    assert (first.text, first.media_type, first.tags, first.event_at) == ("a", "text/markdown", ("x",), AT)
    assert first.attributes == {"n": 1, "f": 0.5, "user": "ana"}
    assert (second.text, second.media_type, second.tags) == ("b", "text/plain", ())
    assert second.attributes == {"n": 2, "f": None, "user": "bob"}


def test_binary_arrow_columns(store: kiromi.Store) -> None:
    store.append_many(pa.table({"content": [b"\xff"], "partition": [{"user": "ana"}]}))
    assert store.get(store.list_ids()[0]).data == b"\xff"


def test_drafts(store: kiromi.Store) -> None:
    draft = kiromi.Draft(content=b"x", media_type="text/plain", attributes={"user": "ana"}, tags=("t",), id=ID)
    store.append_many([draft])
    m = store.get(ID)
    assert (m.data, m.media_type, m.tags, m.attributes) == (b"x", "text/plain", ("t",), {"user": "ana"})


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"content": 5, "partition": {"user": "x"}}, kiromi.InvalidInput, "record 6: content 5"),
        ({"content": "x", "partition": {"user": "x"}, "tags": [""]}, kiromi.InvalidInput, "record 6: tags"),
        ({"content": "x", "partition": {"usr": "x"}}, kiromi.InvalidInput, "record 6: partition names 'usr'"),
        ({"content": "x"}, kiromi.InvalidInput, "record 6: .*'user' is absent"),
        ({"content": "x", "partition": {"user": ""}}, kiromi.InvalidInput, "record 6: .*user.*empty"),
        (
            {"content": "x", "partition": {"user": "x"}, "nope": 1},
            kiromi.InvalidInput,
            "record 6: unknown field 'nope'",
        ),
        ({"content": "x", "partition": {"user": "x"}, "key": "k2"}, kiromi.AlreadyExists, "record 6: key 'k2'"),
        ({"content": "x", "partition": {"user": "x"}, "id": ID}, kiromi.AlreadyExists, f"record 6: id {ID}"),
        (kiromi.Draft(content="x", media_type="text/plain"), kiromi.InvalidInput, "record 6: .*'user' is absent"),  # type: ignore[arg-type]
        (kiromi.Draft(content=b"\xff", media_type="text/plain"), kiromi.InvalidInput, "record 6: .*not UTF-8"),
        ("text", kiromi.InvalidInput, "record 6 is a str"),
    ],
    ids=repr,
)
def test_a_bad_record_is_named_and_earlier_batches_stay(
    store: kiromi.Store, root: Path, batch_size: int, bad: Any, error: type[Exception], message: str
) -> None:
    store.append("taken", {"user": "ana"}, id=ID)
    acknowledged: list[str] = []
    with pytest.raises(error, match=message) as refusal:
        store.append_many(
            [*records(6), bad, *records(6, first=6)],
            batch_size=batch_size,
            on_batch=lambda report: acknowledged.extend(report.ids),
        )
    assert isinstance(refusal.value, kiromi.KiromiError)
    assert refusal.value.details["position"] == 6
    assert len(acknowledged) == 6 // batch_size * batch_size
    assert store.list_ids() == sorted([ID, *acknowledged])
    assert len(data_files(root)) == 1 + len(acknowledged)
    assert not staged_files(root)
    assert store.seq == 1 + 6 // batch_size


@pytest.mark.parametrize("field", ["id", "key"])
def test_a_batch_cannot_use_a_name_twice(store: kiromi.Store, field: str) -> None:
    record = {"content": "x", "partition": {"user": "ana"}, field: ID}
    with pytest.raises(kiromi.AlreadyExists, match="record 2") as refusal:
        store.append_many([record, {**record, field: "01ARZ3NDEKTSV4RRFFQ69G5FAW"}, record])
    assert refusal.value.details["position"] == 2
    assert store.seq == 0


def test_the_same_key_in_two_namespaces(store: kiromi.Store) -> None:
    record = {"content": "x", "partition": {"user": "ana"}, "key": "k"}
    store.append_many([record, {**record, "namespace": "n"}])
    assert store.count() == 2


def test_an_id_of_a_deleted_memory_stays_taken(store: kiromi.Store) -> None:
    store.append("x", {"user": "ana"}, id=ID)
    store.delete(ID)
    with pytest.raises(kiromi.AlreadyExists, match=f"record 1: id {ID}"):
        store.append_many([*records(1), {"content": "y", "partition": {"user": "ana"}, "id": ID}])


def test_a_key_of_a_deleted_memory_is_free(store: kiromi.Store) -> None:
    store.append_many(records(3))
    store.delete(store.get(key="k1").id)
    store.append_many([{"content": "new", "partition": {"user": "ana"}, "key": "k1"}])
    assert store.get(key="k1").text == "new"


@pytest.mark.parametrize("wrong", ["text", b"bytes", {"content": "x"}, 5, None], ids=repr)
def test_records_are_an_iterable_of_records(store: kiromi.Store, wrong: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="append_many takes"):
        store.append_many(wrong)


@pytest.mark.parametrize("size", [0, -1, 1.5, "10", True])
def test_batch_size_is_a_positive_number(store: kiromi.Store, size: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="batch_size"):
        store.append_many(records(1), batch_size=size)


def test_guards_see_every_record_and_draft(root: Path) -> None:
    seen: list[bytes] = []

    def guard(draft: kiromi.Draft) -> kiromi.Draft:
        seen.append(draft.content)
        if draft.content == b"bad":
            raise kiromi.InvalidInput("no")
        return draft

    with kiromi.open(root, scheme="user={user}", guards=[guard]) as store:
        good = kiromi.Draft(content=b"draft", media_type="text/plain", attributes={"user": "ana"})
        store.append_many([{"content": "a", "partition": {"user": "ana"}}, good])
        with pytest.raises(kiromi.InvalidInput, match="record 1: no"):
            store.append_many([good, {"content": "bad", "partition": {"user": "ana"}}])
        assert seen == [b"a", b"draft", b"draft", b"bad"]
        assert store.count() == 2


def test_an_error_of_the_source_keeps_the_batches_before_it(store: kiromi.Store) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield from records(5)
        raise OSError("the source went away")

    reports: list[kiromi.BatchReport] = []
    with pytest.raises(OSError, match="went away"):
        store.append_many(failing(), batch_size=2, on_batch=reports.append)
    assert [len(report.ids) for report in reports] == [2, 2]
    assert store.list_ids() == [memory_id for report in reports for memory_id in report.ids]


def test_an_error_of_on_batch_ends_the_call(store: kiromi.Store) -> None:
    def stop(report: kiromi.BatchReport) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        store.append_many(records(100), batch_size=2, on_batch=stop)
    assert store.count() in (2, 4), "the batch that was under way may have been finished, no other was begun"
    assert len({v["i"] for v in (m.attributes for m in store.list().items)}) == store.count()


def test_the_source_is_read_lazily(store: kiromi.Store) -> None:
    read = 0

    def source() -> Iterator[dict[str, Any]]:
        nonlocal read
        for record in records(100):
            read += 1
            yield record

    ahead: list[int] = []
    store.append_many(source(), batch_size=10, on_batch=lambda report: ahead.append(read - report.number * 10))
    assert max(ahead) <= 20


def _peak(root: Path, count: int, size: int) -> int:
    content = "x" * size
    with kiromi.open(root, scheme="user={user}", durability="relaxed") as store:
        gc.collect()
        tracemalloc.start()
        try:
            store.append_many(
                ({**record, "content": content + str(record["key"])} for record in records(count)), batch_size=100
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def _assert_bounded(folder: Path, fewer: int, more: int, size: int) -> None:
    """What is read is not kept: the peak grows by the little that a view holds of each memory, not by contents."""
    growth = _peak(folder / "more", more, size) - _peak(folder / "fewer", fewer, size)
    assert growth < (more - fewer) * size / 10, f"{growth:,} bytes for {more - fewer:,} more records of {size:,} bytes"


def test_memory_does_not_grow_with_the_contents(tmp_path: Path) -> None:
    _assert_bounded(tmp_path, 500, 3_000, 16_384)


@pytest.mark.torture
def test_memory_does_not_grow_with_many_more_contents(tmp_path: Path) -> None:
    _assert_bounded(tmp_path, 20_000, 60_000, 4_096)


@pytest.mark.parametrize("as_reader", [False, True], ids=["table", "reader"])
def test_one_large_arrow_batch_becomes_python_bit_by_bit(store: kiromi.Store, as_reader: bool) -> None:
    count = 60_000
    table = pa.table(
        {
            "content": pa.array([f"memory {i}" for i in range(count)]),
            "partition": pa.array([{"user": "ana"}] * count),
            "tags": pa.array([[f"t{i % 50}" for i in range(20)]] * count),
        }
    )
    assert table.column("content").num_chunks == 1

    class Enough(Exception):
        pass

    def stop(report: kiromi.BatchReport) -> None:
        raise Enough

    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(Enough):
            store.append_many(table.to_reader() if as_reader else table, on_batch=stop)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20, f"{peak:,} bytes"  # all of it as Python objects: over 100 MB
