"""open and close: what exists, what is created, and what a handle that is closed says."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.tree import data_files

ANA = {"user": "ana"}


def test_a_missing_store_is_created_only_with_a_scheme(root: Path) -> None:
    with pytest.raises(kiromi.StoreNotFound, match="scheme="):
        kiromi.open(root)
    assert not root.exists()
    with pytest.raises(kiromi.StoreNotFound):
        kiromi.open(root, scheme="user={user}", read_only=True)
    assert not root.exists()
    with kiromi.open(root, scheme="user={user}") as store:
        assert (store.scheme, store.seq, store.tenant, store.count()) == ("user={user}", 0, "default", 0)
    with kiromi.open(root) as again:
        assert again.scheme == "user={user}"


def test_another_scheme_is_refused(root: Path) -> None:
    kiromi.open(root, scheme="user={user}").close()
    with pytest.raises(kiromi.SchemeMismatch, match=r"'user=\{user\}', not 'topic=\{topic\}'"):
        kiromi.open(root, scheme="topic={topic}")
    kiromi.open(root, scheme="user={user}").close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": "user={user"}, "segment 1"),
        ({"scheme": ""}, "scheme"),
        ({"scheme": 5}, "scheme"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "\ud800"}, "tenant"),
        ({"tenant": "x" * 256}, "tenant"),
        ({"actor": ""}, "actor"),
        ({"actor": 5}, "actor"),
        ({"actor": "\ud800"}, "actor"),
        ({"durability": "maybe"}, "'sync', 'relaxed'"),
        ({"wait": -1}, "wait"),
        ({"wait": float("nan")}, "wait"),
        ({"wait": "10"}, "wait"),
        ({"catalog": 5}, "catalog=5 is not a local path"),
        ({"catalog": "a\0b"}, "catalog="),
        ({"storage_options": 5}, "storage_options=5 is not a mapping"),
        ({"storage_options": {5: 1}}, "storage_options="),
    ],
    ids=repr,
)
def test_nonsense_is_refused_before_anything_is_made(root: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(kiromi.InvalidInput, match=message):
        kiromi.open(root, **{"scheme": "user={user}", **arguments})
    assert not root.exists()


def test_a_root_is_a_path_or_url(tmp_path: Path) -> None:
    with kiromi.open(f"file://{tmp_path}/s", scheme="user={user}") as by_url:
        m = by_url.append("x", ANA)
        with kiromi.open(str(tmp_path / "s")) as by_path:
            assert by_path.get(m.id) == m
    for wrong in ("", "nonsense://x/y"):
        with pytest.raises(kiromi.InvalidInput):
            kiromi.open(wrong, scheme="user={user}")


def test_everything_is_there_after_reopening(root: Path) -> None:
    with kiromi.open(root, scheme="user={user}") as store:
        m = store.append("x", ANA, key="k", tags=["a"], attributes={"n": 1})
        gone = store.append("y", ANA)
        store.delete(gone.id)
        entries = store.audit()
    with kiromi.open(root) as again:
        assert again.get(m.id) == again.get(key="k") == m
        assert again.list_ids({"user": "ana"}) == [m.id]
        assert again.audit() == entries
        assert again.seq == 3
        with pytest.raises(kiromi.AlreadyExists):
            again.append("z", ANA, key="k")
        with pytest.raises(kiromi.AlreadyExists):
            again.append("z", ANA, id=gone.id)
        assert again.append("z", ANA).id > gone.id
        assert again.undelete(gone.id).version == 2


def test_what_is_acknowledged_survives_a_kill(root: Path) -> None:
    script = f"""
import os, kiromi
store = kiromi.open({str(root)!r}, scheme="user={{user}}")
one = store.append("one", {{"user": "ana"}}, key="k")
gone = store.append("gone", {{"user": "ana"}})
store.update(one.id, content="two", attributes={{"user": "bob"}})
store.delete(gone.id)
print(one.id, gone.id, flush=True)
os._exit(9)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 9, run.stderr
    one, gone = run.stdout.split()
    with kiromi.open(root) as store:
        assert store.get(key="k").text == "two"
        assert store.list_ids() == [one]
        assert data_files(root) == {f"user=bob/{one}.2.md": b"two"}
        store.undelete(gone)
        assert store.get(gone).text == "gone"


def test_a_read_only_handle_reads(root: Path) -> None:
    with kiromi.open(root, scheme="user={user}") as store:
        m = store.append("x", ANA)
    with kiromi.open(root, read_only=True) as reader:
        assert reader.get(m.id).text == "x"
        assert reader.list_ids({"user": "ana"}, {"user": "ana"}) == [m.id]
        assert len(reader.history(m.id)) == len(reader.audit()) == reader.count() == 1
        writes: list[Callable[[], Any]] = [
            lambda: reader.append("y", ANA),
            lambda: reader.append_many([]),
            lambda: reader.put("y", ANA, key="k"),
            lambda: reader.update(m.id, title="t"),
            lambda: reader.delete(m.id),
            lambda: reader.undelete(m.id),
            lambda: reader.delete_where(ANA, dry_run=False),
            lambda: reader.transaction().__enter__(),
            lambda: reader.scoped(ANA).append("y"),
        ]
        for write in writes:
            with pytest.raises(kiromi.InvalidInput, match="read-only"):
                write()
        assert reader.delete_where(ANA).count == 1


def test_handles_share_what_they_see(root: Path) -> None:
    one = kiromi.open(root, scheme="user={user}", actor="one")
    two = kiromi.open(root, actor="two")
    reader = kiromi.open(root, read_only=True)
    m = one.append("x", ANA)
    assert two.get(m.id) == reader.get(m.id) == m
    two.update(m.id, title="t")
    assert one.get(m.id).title == "t"
    assert [e.actor for e in one.audit()] == ["one", "two"]
    one.close()
    assert two.get(m.id).title == "t"
    with pytest.raises(kiromi.InvalidInput, match="closed"):
        one.get(m.id)
    two.close()
    reader.close()


def test_one_process_opens_a_store_one_way(root: Path) -> None:
    with (
        kiromi.open(root, scheme="user={user}"),
        pytest.raises(kiromi.InvalidInput, match="open it the same way"),
    ):
        kiromi.open(root, durability="relaxed")


def test_a_closed_store_says_so(root: Path) -> None:
    store = kiromi.open(root, scheme="user={user}")
    m = store.append("x", ANA)
    scoped = store.scoped(ANA)
    store.close()
    store.close()
    calls: list[Callable[[kiromi.Store], Any]] = [
        lambda handle: handle.get(m.id),
        lambda handle: handle.list(),
        lambda handle: handle.count(),
        lambda handle: handle.append("x", ANA),
        lambda handle: handle.append_many([]),
        lambda handle: handle.delete(m.id),
        lambda handle: handle.transaction().__enter__(),
        lambda handle: list(handle.changes()),
        lambda handle: handle.scoped(ANA),
        lambda handle: handle.partitions(),
        lambda handle: handle.seq,
        lambda handle: handle.scheme,
    ]
    for handle in (store, scoped):
        for call in calls:
            with pytest.raises(kiromi.InvalidInput, match="closed"):
                call(handle)
    assert "memories" in repr(store)


def test_close_while_reading_changes(root: Path) -> None:
    store = kiromi.open(root, scheme="user={user}")
    for _ in range(3):
        store.append("x", ANA)
    changes = store.changes()
    assert next(changes).seq == 1
    store.close()
    with pytest.raises(kiromi.InvalidInput, match="closed"):
        list(changes)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_handle_is_not_used_after_a_fork(root: Path) -> None:
    script = f"""
import os, kiromi
store = kiromi.open({str(root)!r}, scheme="user={{user}}")
m = store.append("x", {{"user": "ana"}})
pid = os.fork()
if pid == 0:
    try:
        store.get(m.id)
    except kiromi.InvalidInput as error:
        os._exit(7 if "fork" in str(error) else 8)
    os._exit(9)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert store.append("y", {{"user": "ana"}}).version == 1
assert store.count() == 2
store.close()
print(code)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "7"), run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_what_was_closed_and_is_told_why_not_what_was_open(root: Path) -> None:
    script = f"""
import os, kiromi
def in_child():
    pid = os.fork()
    if pid == 0:
        try:
            with kiromi.open({str(root)!r}) as store:
                store.append("of the child", {{"user": "ana"}})
        except kiromi.InvalidInput as error:
            os._exit(7 if "forked" in str(error) else 8)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
store = kiromi.open({str(root)!r}, scheme="user={{user}}")
print(in_child())
store.close()
print(in_child())
with kiromi.open({str(root)!r}) as store:
    print(store.count())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (run.returncode, run.stdout.split()) == (0, ["7", "0", "1"]), run.stderr


def test_stats(store: kiromi.Store, root: Path) -> None:
    m = store.append("four", {"user": "ana"})
    store.append("x", {"user": "bob"})
    store.update(m.id, content="fourfour")
    stats = store.stats()
    assert (stats.memories, stats.expired, stats.history, stats.contents, stats.partitions) == (2, 0, 1, 3, 2)
    assert (stats.size_bytes, stats.attic_bytes, stats.pending, stats.audit_entries, stats.seq) == (9, 4, 0, 3, 3)
    assert (stats.tenant, stats.scheme, stats.schemes) == ("default", store.scheme, 1)
    assert stats.catalog_bytes == (root / "default/catalog.duckdb").stat().st_size


def test_a_tenant_whose_folder_the_filesystem_takes_for_another_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a filesystem that folds case: the folder is there, but not under this name.
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [name.lower() for name in real(path)])
    with kiromi.open(root, scheme="user={user}", tenant="acme") as store:
        store.append("x", ANA)
    with pytest.raises(kiromi.Conflict, match="'Acme'"):
        kiromi.open(root, scheme="user={user}", tenant="Acme")


def test_another_catalog_put_in_place_of_an_idle_one_is_noticed(root: Path) -> None:
    script = (
        "import kiromi, shutil, sys, pathlib\n"
        "catalog = pathlib.Path(sys.argv[1], 'default', 'catalog.duckdb')\n"
        "with kiromi.open(sys.argv[1], wait=30):\n"
        "    pass\n"
        "shutil.copyfile(sys.argv[2], catalog)\n"
    )
    with kiromi.open(root, scheme="user={user}") as store:
        store.append("x", ANA)
    former = root.parent / "former.duckdb"
    former.write_bytes((root / "default" / "catalog.duckdb").read_bytes())
    with kiromi.open(root) as store:
        store.append("y", ANA)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", script, str(root), str(former)], env=environment, check=True)
        with pytest.raises(kiromi.UnsupportedFormat, match="another file was put in its place"):
            store.count()


def test_a_catalog_file_belongs_to_one_tenant(root: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "catalogs" / "acme.duckdb"
    with kiromi.open(root, scheme="user={user}", tenant="acme", catalog=catalog) as store:
        store.append("x", ANA)
    with pytest.raises(kiromi.Conflict, match="tenant 'acme'"):
        kiromi.open(root, scheme="user={user}", tenant="other", catalog=catalog)
    with kiromi.open(root, tenant="acme", catalog=catalog) as store:
        assert store.count() == 1


@pytest.mark.parametrize("name", ["catalog.duckdb", "other.duckdb"])
def test_a_catalog_file_of_any_name_keeps_tenants_apart(root: Path, tmp_path: Path, name: str) -> None:
    catalog = tmp_path / "catalogs" / name
    with kiromi.open(root, scheme="user={user}", tenant="alice", catalog=catalog) as store:
        store.append("hers", ANA)
    with pytest.raises(kiromi.Conflict, match="tenant 'alice'"):
        kiromi.open(root, tenant="bob", catalog=catalog)
    with kiromi.open(root, scheme="user={user}", tenant="carol") as store:
        store.append("hers", ANA)
    with pytest.raises(kiromi.Conflict, match="tenant 'carol'"):
        kiromi.open(root, tenant="dave", catalog=root / "carol" / "catalog.duckdb")


@pytest.mark.parametrize("sessions", [1, 3])
def test_a_wrong_root_is_refused_and_does_no_harm(tmp_path: Path, sessions: int) -> None:
    catalog = tmp_path / "catalogs"
    good, typo = f"memory://{tmp_path.name}-good", f"memory://{tmp_path.name}-typo"
    with kiromi.open(good, scheme="user={user}", catalog=catalog) as store:
        kept = store.append("x", ANA)
    for _ in range(sessions - 1):
        kiromi.open(good, catalog=catalog).close()
    for _ in range(2):
        with pytest.raises(kiromi.Conflict, match="another root"):
            kiromi.open(typo, catalog=catalog)
    with kiromi.open(good, catalog=catalog) as store:
        assert store.get(kept.id).text == "x"


def test_a_wrong_tenant_with_a_catalog_file_does_no_harm(tmp_path: Path) -> None:
    catalog = tmp_path / "one.duckdb"
    root = f"memory://{tmp_path.name}"
    with kiromi.open(root, scheme="user={user}", tenant="acme", catalog=catalog) as store:
        store.append("x", ANA)
    with pytest.raises(kiromi.Conflict, match="tenant 'acme'"):
        kiromi.open(root, tenant="other", catalog=catalog)
    with kiromi.open(root, tenant="acme", catalog=catalog) as store:
        assert store.count() == 1


@pytest.mark.parametrize("wrong", [5, None, "", "a\0b", "\ud800", b"a"], ids=repr)
def test_a_root_that_is_no_path_is_refused(wrong: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match=r"^root=.* is not a path or URL; accepted: "):
        kiromi.open(wrong, scheme="user={user}")
