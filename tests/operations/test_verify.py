"""verify: whatever is wrong on disk or in the catalog is found, named and, where it can be derived, mended."""

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import fsspec
import pytest

import kiromi
from kiromi.blobs.local import LocalBlobs
from kiromi.operations.checks import blobs as blob_checks
from kiromi.operations.checks import listing
from kiromi.testing import Fault, FaultyFileSystem
from tests.operations.tree import attic_files, data_files, files_below, staged_files

UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@dataclass(frozen=True, slots=True)
class Filled:
    """A store with three live memories, one of which has an earlier content, and a deleted one."""

    store: kiromi.Store
    tenant: Path
    ana: kiromi.Memory
    bob: kiromi.Memory
    eve: kiromi.Memory
    gone: kiromi.MemoryInfo

    def at(self, path: str) -> Path:
        return self.tenant / path

    def move(self, path: str, to: str) -> None:
        self.at(to).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).rename(self.at(to))

    def copy(self, path: str, to: str) -> None:
        self.at(to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.at(path), self.at(to))

    def tree(self) -> dict[str, bytes]:
        return {
            f"{name}/{k}": v for name in ("data", "attic", "staging") for k, v in files_below(self.at(name)).items()
        }


@pytest.fixture
def filled(store: kiromi.Store, root: Path) -> Filled:
    ana = store.append("about ana", {"user": "ana", "topic": "travel"})
    bob = store.append("about bob", {"user": "bob"})
    eve = store.update(store.append("about eve", {"user": "eve"}).id, content="more about eve")
    gone = store.delete(store.append("forgotten", {"user": "ana"}).id)
    return Filled(store, root / "default", ana, bob, eve, gone)


def problems(report: kiromi.VerifyReport, *, fixed: bool = False) -> list[tuple[str, str]]:
    assert all(problem.fixed == fixed for problem in report.problems)
    assert report.is_clean == (fixed or not report.problems)
    return sorted((problem.kind, problem.subject) for problem in report.problems)


def test_a_sound_store(filled: Filled) -> None:
    seen: list[tuple[int, int]] = []
    report = filled.store.verify(on_progress=lambda done, total: seen.append((done, total)))
    assert (report.problems, report.memories, report.blobs, report.bytes_read) == ((), 3, 5, 0)
    assert report.audit_entries == 6
    assert report.seconds > 0
    assert seen[0] == (0, 5)
    assert seen[-1] == (5, 5)


def test_reading_all_data(filled: Filled) -> None:
    seen: list[tuple[int, int]] = []
    report = filled.store.verify(read_data=True, on_progress=lambda done, total: seen.append((done, total)))
    assert (report.problems, report.blobs) == ((), 5)
    assert report.bytes_read == sum(len(data) for data in filled.tree().values())
    assert seen == sorted(seen)
    assert seen[-1] == (5, 5)


@pytest.mark.parametrize("read_data", [False, True])
def test_an_empty_store(store: kiromi.Store, read_data: bool) -> None:
    report = store.verify(read_data=read_data, fix=True)
    assert (report.problems, report.memories, report.blobs) == ((), 0, 0)


def test_a_read_only_handle_may_look_but_not_mend(filled: Filled, root: Path) -> None:
    filled.store.close()
    with kiromi.open(root, read_only=True) as reader:
        assert reader.verify(read_data=True).problems == ()
        filled.copy(filled.ana.path, "data/user=bob/copy.md")
        assert problems(reader.verify()) == [("orphan", "data/user=bob/copy.md")]
        with pytest.raises(kiromi.InvalidInput, match="read-only"):
            reader.verify(fix=True)


def test_a_scoped_handle_is_refused(filled: Filled) -> None:
    with pytest.raises(kiromi.InvalidInput, match="whole tenant"):
        filled.store.scoped({"user": "ana"}).verify()


# -- blobs that are missing or damaged ------------------------------------------------------------------------------


@pytest.mark.parametrize("fix", [False, True])
@pytest.mark.parametrize("read_data", [False, True])
def test_missing_blobs(filled: Filled, read_data: bool, fix: bool) -> None:
    filled.at(filled.ana.path).unlink()
    filled.at(filled.gone.path).unlink()
    report = filled.store.verify(read_data=read_data, fix=fix)
    assert problems(report) == sorted([("blob_missing", filled.ana.path), ("blob_missing", filled.gone.path)])


def test_a_missing_tree(filled: Filled) -> None:
    shutil.rmtree(filled.at("data"))
    shutil.rmtree(filled.at("attic"))
    assert {kind for kind, _ in problems(filled.store.verify(read_data=True, fix=True))} == {"blob_missing"}
    assert len(filled.store.verify().problems) == 5


def test_a_folder_in_place_of_a_blob(filled: Filled) -> None:
    filled.at(filled.ana.path).unlink()
    filled.at(filled.ana.path).mkdir()
    assert problems(filled.store.verify(read_data=True)) == [("blob_missing", filled.ana.path)]


@pytest.mark.parametrize("fix", [False, True])
@pytest.mark.parametrize("read_data", [False, True])
@pytest.mark.parametrize("data", [b"", b"about", b"about ana and more"])
def test_blobs_of_another_size(filled: Filled, data: bytes, read_data: bool, fix: bool) -> None:
    filled.at(filled.ana.path).write_bytes(data)
    report = filled.store.verify(read_data=read_data, fix=fix)
    assert problems(report) == [("size_mismatch", filled.ana.path)]
    assert "9 were stored" in report.problems[0].message
    assert filled.at(filled.ana.path).read_bytes() == data


def test_changed_bytes_are_found_when_they_are_read(filled: Filled) -> None:
    filled.at(filled.ana.path).write_bytes(b"about ANA")
    filled.at(filled.gone.path).write_bytes(b"Forgotten")
    assert filled.store.verify(fix=True).problems == ()
    report = filled.store.verify(read_data=True, fix=True)
    assert problems(report) == sorted([("checksum_mismatch", filled.ana.path), ("checksum_mismatch", filled.gone.path)])
    assert filled.at(filled.ana.path).read_bytes() == b"about ANA"


@pytest.mark.parametrize("target", ["not-there", "////////."])
def test_blobs_that_cannot_be_read(filled: Filled, target: str) -> None:
    path = filled.at(filled.ana.path)
    path.unlink()
    path.symlink_to(target)  # a link is as long as its target; these are as long as the blob
    assert problems(filled.store.verify(read_data=True)) == [("unreadable", filled.ana.path)]


def test_small_parts_give_the_same_report(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        filled.store.append(f"memory {number}" * 3, {"user": f"u{number % 3}"})
    report = filled.store.verify(read_data=True)
    for path in list(data_files(filled.tenant.parent))[::7]:
        filled.at(f"data/{path}").write_bytes(b"?")
    expected = problems(filled.store.verify(read_data=True))
    for name, value in {"AT_ONCE": 2, "READ_BYTES": 50, "READ_BLOBS": 3}.items():
        monkeypatch.setattr(blob_checks, name, value)
    again = filled.store.verify(read_data=True)
    assert problems(again) == expected
    assert again.bytes_read < report.bytes_read


def test_a_listing_in_parts(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_LISTED", 2)
    filled.store.append("bei J\u00fcrgen", {"user": "J\u00fcrgen"})
    assert filled.store.verify().problems == ()
    filled.at(filled.bob.path).unlink()
    assert problems(filled.store.verify()) == [("blob_missing", filled.bob.path)]


def test_what_goes_while_it_is_read(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_checks, "READ_BLOBS", 1)
    lost: list[str] = []

    def lose(done: int, total: int) -> None:
        if done == 1:
            filled.at(filled.bob.path).unlink()
            # This one is on its way elsewhere when it goes: its old place is not asked about.
            filled.at("data/user=zoe").write_bytes(b"in the way")
            lost.append(filled.store.update(filled.eve.id, partition={"user": "zoe"}).path)
            filled.at(filled.eve.path).unlink()

    report = filled.store.verify(read_data=True, on_progress=lose)
    assert problems(report) == sorted([("blob_missing", filled.bob.path), ("blob_missing", lost[0])])


def test_more_blobs_than_a_page(store: kiromi.Store, root: Path) -> None:
    store.append_many({"content": f"memory {number}", "partition": {"user": "ana"}} for number in range(5_000))
    report = store.verify(read_data=True)
    assert (report.problems, report.memories, report.blobs) == ((), 5_000, 5_000)
    assert report.bytes_read == sum(len(data) for data in data_files(root).values())
    last = sorted(data_files(root))[-1]
    (root / "default" / "data" / last).write_bytes(b"memory 4998")
    assert problems(store.verify(read_data=True)) == [("checksum_mismatch", f"data/{last}")]


# -- things that do not belong where they lie -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "data/note.md",
        "data/user=ana/topic=travel/note.md",
        f"data/user=ana/topic=travel/{UNKNOWN}.1.md",
        f"data/{UNKNOWN}.1.md",
        f"attic/AV/{UNKNOWN}.1.md",
        f"staging/{UNKNOWN}.1.md",
        "staging/x",
        "attic/note",
        "data/user=ana/.DS_Store",
        f"data/user=ana/{UNKNOWN}.01.md",
        f"data/user=ana/{UNKNOWN}.1.md.partial",
        f"data/user=ana/{UNKNOWN.lower()}.1.md",
        "data/a\nb.md",
    ],
)
@pytest.mark.parametrize("fix", [False, True])
def test_orphans_are_reported_and_left(filled: Filled, path: str, fix: bool) -> None:
    filled.at(path).parent.mkdir(parents=True, exist_ok=True)
    filled.at(path).write_bytes(b"whose?")
    before = filled.tree()
    assert problems(filled.store.verify(read_data=True, fix=fix)) == [("orphan", path)]
    assert filled.tree() == before


def test_an_orphan_whose_name_is_no_text(filled: Filled) -> None:
    name = os.fsencode(filled.at("data")) + b"/\xff.md"
    try:
        with open(name, "wb"):
            pass
    except OSError:
        pytest.skip("this filesystem has no such names")
    assert problems(filled.store.verify(fix=True)) == [("orphan", "data/\\udcff.md")]
    assert os.path.exists(name)


def test_a_link_to_a_folder_is_not_followed(filled: Filled) -> None:
    filled.at("data/user=link").symlink_to(filled.at("data/user=ana"))
    assert problems(filled.store.verify(fix=True)) == [("orphan", "data/user=link")]
    assert filled.at("data/user=link").is_symlink()


ELSEWHERE = ["data/user=bob/topic=travel/", "data/", "attic/zz/", "staging/", "data/user=ana/topic=travel/deep/er/"]


@pytest.mark.parametrize("folder", ELSEWHERE)
def test_misplaced_blobs_are_brought_home(filled: Filled, folder: str) -> None:
    before = filled.tree()
    places = [folder + Path(memory.path).name for memory in (filled.ana, filled.gone)]
    filled.move(filled.ana.path, places[0])
    filled.move(filled.gone.path, places[1])
    expected = sorted(("misplaced", place) for place in places)
    assert problems(filled.store.verify(read_data=True)) == expected
    assert filled.tree() != before
    report = filled.store.verify(read_data=True, fix=True)
    assert problems(report, fixed=True) == expected
    assert filled.tree() == before
    assert filled.store.verify(read_data=True).problems == ()
    assert filled.store.get(filled.ana.id).text == "about ana"


def test_live_and_attic_swapped(filled: Filled) -> None:
    before = filled.tree()
    live, attic = filled.ana.path, filled.gone.path
    filled.move(live, f"attic/{live[-31:-29]}/{Path(live).name}")
    filled.move(attic, f"data/user=ana/topic=inbox/{Path(attic).name}")
    assert {kind for kind, _ in problems(filled.store.verify())} == {"misplaced"}
    assert len(problems(filled.store.verify(fix=True), fixed=True)) == 2
    assert filled.tree() == before


def test_a_blob_with_another_extension_is_misplaced(filled: Filled) -> None:
    other = filled.ana.path.removesuffix("md") + "txt"
    filled.move(filled.ana.path, other)
    assert problems(filled.store.verify(fix=True), fixed=True) == [("misplaced", other)]
    assert filled.store.verify(read_data=True).problems == ()


@pytest.mark.parametrize("data", [b"about ANA", b"about"])
def test_other_bytes_under_its_name_are_not_brought_home(filled: Filled, data: bytes) -> None:
    filled.at(filled.ana.path).unlink()
    place = f"data/{Path(filled.ana.path).name}"
    filled.at(place).write_bytes(data)
    report = filled.store.verify(fix=True)
    assert ("misplaced", place) in problems(report)
    assert filled.at(place).read_bytes() == data
    assert not filled.at(filled.ana.path).exists()
    if len(data) != filled.ana.size:
        assert ("blob_missing", filled.ana.path) in problems(report)


def test_damaged_bytes_are_not_overwritten_by_a_misplaced_copy(filled: Filled) -> None:
    place = f"data/{Path(filled.ana.path).name}"
    filled.copy(filled.ana.path, place)
    filled.at(filled.ana.path).write_bytes(b"edited by hand")
    before = filled.tree()
    expected = [("misplaced", place), ("size_mismatch", filled.ana.path)]
    assert problems(filled.store.verify(fix=True)) == expected
    assert filled.tree() == before


@pytest.mark.parametrize("folder", ELSEWHERE)
def test_second_copies_are_removed(filled: Filled, folder: str) -> None:
    before = filled.tree()
    places = [folder + Path(memory.path).name for memory in (filled.ana, filled.gone)]
    filled.copy(filled.ana.path, places[0])
    filled.copy(filled.gone.path, places[1])
    expected = sorted(("duplicate", place) for place in places)
    assert problems(filled.store.verify(read_data=True)) == expected
    assert problems(filled.store.verify(fix=True), fixed=True) == expected
    assert filled.tree() == before


def test_one_of_two_misplaced_copies_is_enough(filled: Filled) -> None:
    before = filled.tree()
    name = Path(filled.ana.path).name
    filled.copy(filled.ana.path, f"data/a/{name}")
    filled.move(filled.ana.path, f"data/b/{name}")
    assert problems(filled.store.verify()) == [("misplaced", f"data/a/{name}"), ("misplaced", f"data/b/{name}")]
    report = filled.store.verify(fix=True)
    assert problems(report, fixed=True) == [("duplicate", f"data/b/{name}"), ("misplaced", f"data/a/{name}")]
    assert filled.tree() == before


@pytest.mark.parametrize("damaged", ["copy", "goal"])
def test_a_second_copy_stays_if_one_of_both_is_damaged(filled: Filled, damaged: str) -> None:
    place = f"data/{Path(filled.ana.path).name}"
    filled.copy(filled.ana.path, place)
    filled.at(place if damaged == "copy" else filled.ana.path).write_bytes(b"about ANA")
    before = filled.tree()
    report = filled.store.verify(read_data=True, fix=True)
    assert ("duplicate", place) in problems(report)
    assert (("checksum_mismatch", filled.ana.path) in problems(report)) == (damaged == "goal")
    assert filled.tree() == before


def test_one_file_under_two_names_is_not_removed(filled: Filled) -> None:
    place = f"data/{Path(filled.ana.path).name}"
    filled.at(place).hardlink_to(filled.at(filled.ana.path))
    assert problems(filled.store.verify(fix=True)) == [("duplicate", place)]
    assert filled.at(place).exists()
    assert filled.at(filled.ana.path).exists()


def test_what_cannot_be_removed_is_reported(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(blobs: LocalBlobs, paths: Sequence[str]) -> None:
        raise kiromi.StorageError("no")

    place = f"data/{Path(filled.ana.path).name}"
    filled.copy(filled.ana.path, place)
    monkeypatch.setattr(LocalBlobs, "remove", refuse)
    assert problems(filled.store.verify(fix=True)) == [("duplicate", place)]


def test_what_cannot_be_brought_home_is_reported(filled: Filled) -> None:
    place = f"data/{Path(filled.ana.path).name}"
    filled.move(filled.ana.path, place)
    filled.at("data/user=ana/topic=travel").rmdir()
    filled.at("data/user=ana/topic=travel").write_bytes(b"in the way")
    expected = [("misplaced", place), ("orphan", "data/user=ana/topic=travel")]
    assert problems(filled.store.verify(fix=True)) == expected
    assert filled.at(place).read_bytes() == b"about ana"


def test_empty_folders_are_no_problem_and_go(filled: Filled) -> None:
    filled.at("data/user=nobody/topic=none").mkdir(parents=True)
    filled.at("data/user=ana/topic=none").mkdir()
    assert filled.store.verify().problems == ()
    assert filled.at("data/user=nobody").exists()
    assert filled.store.verify(fix=True).problems == ()
    assert not filled.at("data/user=nobody").exists()
    assert not filled.at("data/user=ana/topic=none").exists()
    filled.store.append("x", {"user": "ana", "topic": "none"})
    filled.store.append("x", {"user": "nobody", "topic": "none"})
    assert filled.store.verify().problems == ()


def test_the_folder_of_data_stays_when_it_is_empty(store: kiromi.Store, root: Path) -> None:
    store.delete(store.append("x", {"user": "ana"}).id)
    assert store.verify(fix=True).problems == ()
    assert (root / "default" / "data").is_dir()


# -- what is pending --------------------------------------------------------------------------------------------------


def obstructed(filled: Filled) -> str:
    """Put a file where a folder has to be, and make a memory move there; return where the blob should be."""
    filled.at("data/user=zoe").write_bytes(b"in the way")
    return filled.store.update(filled.ana.id, partition={"user": "zoe"}).path


def test_what_cannot_be_settled_is_reported_with_its_reason(filled: Filled) -> None:
    goal = obstructed(filled)
    report = filled.store.verify(read_data=True)
    assert problems(report) == [("orphan", "data/user=zoe"), ("pending", goal)]
    [message] = [problem.message for problem in report.problems if problem.kind == "pending"]
    assert "user=zoe" in message
    assert ("pending", goal) in problems(filled.store.verify(fix=True))
    filled.at("data/user=zoe").unlink()
    assert problems(filled.store.verify(fix=True), fixed=True) == [("pending", goal)]
    assert filled.store.verify(read_data=True).problems == ()
    assert filled.at(goal).read_bytes() == b"about ana"


def test_copies_of_a_pending_blob_elsewhere_are_reported(filled: Filled) -> None:
    goal = obstructed(filled)
    place = f"data/{Path(goal).name}"
    filled.copy(filled.ana.path, place)
    assert problems(filled.store.verify()) == [
        ("misplaced", place),
        ("orphan", "data/user=zoe"),
        ("pending", goal),
    ]


def test_a_pending_blob_that_is_nowhere_is_missing(filled: Filled) -> None:
    goal = obstructed(filled)
    filled.at(filled.ana.path).unlink()
    assert problems(filled.store.verify(read_data=True)) == [("blob_missing", goal), ("orphan", "data/user=zoe")]


def test_pending_rows_of_what_is_home_are_no_problem(filled: Filled, root: Path) -> None:
    filled.store.close()
    with duckdb.connect(filled.at("catalog.duckdb")) as connection:
        place = f"staging/{Path(filled.ana.path).name}"
        connection.execute("INSERT INTO pending VALUES (?, 1, ?)", [filled.ana.id, [place]])
    with kiromi.open(root, read_only=True) as reader:
        assert reader.verify(read_data=True).problems == ()
        filled.copy(filled.ana.path, place)
        report = reader.verify(read_data=True)
        assert problems(report) == [("pending", filled.ana.path)]
        assert "since the store was opened" in report.problems[0].message
        filled.at(filled.ana.path).unlink()
        assert problems(reader.verify(read_data=True)) == [("pending", filled.ana.path)]


# -- rows -------------------------------------------------------------------------------------------------------------


def tampered(filled: Filled, root: Path, *statements: str) -> kiromi.VerifyReport:
    filled.store.close()
    with duckdb.connect(filled.at("catalog.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)
    with kiromi.open(root) as store:
        return store.verify()


@pytest.mark.parametrize(
    "change",
    [
        "partition = 'user=ana/topic=work'",
        "partition = 'user=ana'",
        """attributes = '{"topic":"travel","user":"bob"}'""",
        "attributes = '{}'",
        """attributes = '{"topic":["a"],"user":"ana"}'""",
    ],
)
def test_a_path_that_its_scheme_does_not_render(filled: Filled, root: Path, change: str) -> None:
    report = tampered(filled, root, f"UPDATE memories SET {change} WHERE id = '{filled.ana.id}'")
    assert ("path_mismatch", filled.ana.id) in problems(report)


def test_nothing_is_moved_where_a_wrong_path_says(filled: Filled, root: Path) -> None:
    tampered(filled, root, f"UPDATE memories SET partition = 'user=ana/topic=work' WHERE id = '{filled.ana.id}'")
    before = filled.tree()
    with kiromi.open(root) as store:
        assert problems(store.verify(fix=True)) == sorted(
            [("path_mismatch", filled.ana.id), ("misplaced", filled.ana.path)]
        )
    assert filled.tree() == before


@pytest.mark.parametrize("text", ["", "[", "7", "[1]", '{"a":{}}', '{"a":{"decimal":"x"}}', '{"a":{"date":"1"}}'])
def test_attributes_that_cannot_be_decoded(filled: Filled, root: Path, text: str) -> None:
    report = tampered(filled, root, f"UPDATE memories SET attributes = '{text}' WHERE id = '{filled.ana.id}'")
    assert problems(report) == [("attributes_unreadable", filled.ana.id)]


@pytest.mark.parametrize("table", ["memories", "history"])
def test_an_unknown_scheme(filled: Filled, root: Path, table: str) -> None:
    memory = filled.ana if table == "memories" else filled.gone
    report = tampered(filled, root, f"UPDATE {table} SET scheme = 7 WHERE id = '{memory.id}'")
    assert problems(report) == [("scheme_unknown", memory.id)]


def test_an_unknown_content(filled: Filled, root: Path) -> None:
    report = tampered(filled, root, f"DELETE FROM contents WHERE id = '{filled.ana.id}'")
    assert problems(report) == [("content_unknown", filled.ana.id), ("orphan", filled.ana.path)]


def test_a_content_recorded_twice(filled: Filled, root: Path) -> None:
    report = tampered(filled, root, f"INSERT INTO contents SELECT * FROM contents WHERE id = '{filled.ana.id}'")
    assert ("content_twice", filled.ana.id) in problems(report)


def test_a_last_content_that_is_behind(filled: Filled, root: Path) -> None:
    report = tampered(filled, root, f"UPDATE memories SET last_n = 1 WHERE id = '{filled.eve.id}'")
    assert problems(report) == [("content_number", filled.eve.id)]
    assert "it has 2" in report.problems[0].message


def test_a_key_that_two_have(filled: Filled, root: Path) -> None:
    ids = sorted([filled.ana.id, filled.bob.id])
    report = tampered(filled, root, f"UPDATE memories SET key = 'seat' WHERE id IN ('{ids[0]}', '{ids[1]}')")
    assert problems(report) == [("key_twice", ids[0])]
    assert ids[1] in report.problems[0].message


def test_a_key_in_two_namespaces_is_fine(filled: Filled) -> None:
    filled.store.put("a", {"user": "ana"}, key="seat", namespace="one")
    filled.store.put("a", {"user": "ana"}, key="seat", namespace="two")
    assert filled.store.verify().problems == ()


def test_a_memory_that_is_live_twice(filled: Filled, root: Path) -> None:
    report = tampered(filled, root, f"INSERT INTO memories SELECT * FROM memories WHERE id = '{filled.ana.id}'")
    assert ("live_twice", filled.ana.id) in problems(report)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE history SET end_seq = 6 WHERE id = '{eve}'",
        "UPDATE history SET end_seq = begin_seq WHERE id = '{eve}'",
        "INSERT INTO history SELECT * FROM history WHERE id = '{eve}'",
        "INSERT INTO history SELECT * REPLACE (4 AS begin_seq, 5 AS end_seq) FROM history WHERE id = '{eve}'",
        "UPDATE memories SET begin_seq = 1 WHERE id = '{eve}'",
    ],
)
def test_versions_that_overlap(filled: Filled, root: Path, statement: str) -> None:
    report = tampered(filled, root, statement.format(eve=filled.eve.id))
    assert problems(report) == [("intervals_overlap", filled.eve.id)]


def test_a_broken_audit_log(filled: Filled, root: Path) -> None:
    report = tampered(filled, root, "UPDATE audit_log SET actor = 'bob' WHERE seq = 2")
    assert problems(report) == [("audit_broken", "audit entry (seq 2, i 0)")]


def test_every_field_that_a_scheme_reads(root: Path) -> None:
    scheme = "kind={kind}/month={event_at:%Y-%m}/year={created_at:year}/key={key|none}/shard={id:bucket(4)}/n={n}"
    with kiromi.open(root, scheme=scheme) as store:
        for number in range(6):
            key = None if number % 2 else f"k{number}"
            store.append("x", {"n": number}, key=key, kind=f"kind {number}", attributes={"price": number / 3})
        assert store.verify(read_data=True).problems == ()


# -- beside writers ---------------------------------------------------------------------------------------------------


def test_nothing_is_reported_while_others_write(root: Path) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(store: kiromi.Store, user: str) -> None:
        try:
            ids: list[str] = []
            number = 0
            while not stop.is_set():
                number += 1
                ids.append(store.append(f"memory {number} of {user}", {"user": user, "topic": str(number % 3)}).id)
                memory_id = ids[number * 7 % len(ids)]
                store.update(memory_id, partition={"topic": str(number % 5)})
                store.update(ids[-1], content=f"content {number}")
                if number % 4 == 0:
                    store.delete(memory_id)
                    store.undelete(memory_id)
                if number % 5 == 0:
                    store.delete(ids.pop(0))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    with kiromi.open(root, scheme="user={user}/topic={topic}", durability="relaxed") as store:
        threads = [threading.Thread(target=write, args=(store, user)) for user in ("ana", "bob")]
        for thread in threads:
            thread.start()
        try:
            reports = [store.verify(read_data=turn % 2 == 0, fix=turn % 3 == 0) for turn in range(12)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == []
        assert [report.problems for report in reports] == [()] * len(reports)
        assert store.verify(read_data=True).problems == ()
    assert staged_files(root) == {}
    assert attic_files(root)


# -- object stores ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    url = f"memory://{tmp_path.name}-{request.node.name[:20].replace('[', '-')}"
    yield url
    filesystem = fsspec.filesystem("memory")
    path = url.removeprefix("memory://")
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def test_an_object_store(bucket: str, tmp_path: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    base = f"/{bucket.removeprefix('memory://')}/default"
    with kiromi.open(bucket, scheme="user={user}", catalog=tmp_path / "catalogs") as store:
        ana, bob = (store.append(f"about {user}", {"user": user}) for user in ("ana", "bob"))
        gone = store.delete(store.append("forgotten", {"user": "eve"}).id)
        assert store.verify(read_data=True, fix=True).problems == ()
        places = [f"data/{Path(memory.path).name}" for memory in (ana, bob)]
        filesystem.mv(f"{base}/{ana.path}", f"{base}/{places[0]}")
        filesystem.copy(f"{base}/{bob.path}", f"{base}/{places[1]}")
        filesystem.pipe_file(f"{base}/data/note.md", b"?")
        filesystem.rm_file(f"{base}/{gone.path}")
        mendable = sorted([("misplaced", places[0]), ("duplicate", places[1])])
        hopeless = [("blob_missing", gone.path), ("orphan", "data/note.md")]
        assert problems(store.verify(read_data=True)) == sorted([*mendable, *hopeless])
        report = store.verify(fix=True)
        assert sorted((p.kind, p.subject) for p in report.problems if p.fixed) == mendable
        assert problems(store.verify(read_data=True)) == hopeless
        assert store.get(ana.id).text == "about ana"


def test_bytes_that_were_put_but_never_committed(bucket: str, tmp_path: Path) -> None:
    with kiromi.open(bucket, scheme="user={user}", catalog=tmp_path / "catalogs") as store:
        store.append("x", {"user": "ana"})
        filesystem = FaultyFileSystem.below(store)
        filesystem.faults = [Fault("pipe_file", OSError("lost answer"), after=True)]
        with pytest.raises(kiromi.StorageError, match="lost answer"):
            store.append("y", {"user": "ana"}, id=UNKNOWN)
        place = f"data/user=ana/{UNKNOWN}.1.md"
        assert problems(store.verify(read_data=True)) == [("pending", place)]
        filesystem.faults = [Fault("rm_file", OSError("cannot remove"))]
        report = store.verify(fix=True)
        assert problems(report) == [("pending", place)]
        assert "cannot remove" in report.problems[0].message
        assert problems(store.verify(fix=True), fixed=True) == [("pending", place)]
        assert store.verify(read_data=True).problems == ()
        filesystem.faults = [Fault("info", OSError("no answer"))]
        filesystem.pipe_file(f"{bucket.removeprefix('memory:/')}/default/data/note.md", b"?")
        with pytest.raises(kiromi.StorageError, match="no answer"):
            store.verify()
