"""Tenants are listed, renamed and dropped one at a time: no name, however alike, touches another (P7)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest

import kiromi
from kiromi.partition import tenant_folder
from kiromi.session.lock import StoreLock
from tests.operations.tree import files_below
from tests.protocol.processes import python

SCHEME = "user={user}"
NAMES = (
    "acme",
    "acme-corp",
    "Acme",
    "acme.",
    ".acme",
    "acme%",
    "acme%2E",
    "acme/corp",
    "..",
    "../acme",
    "ac*",
    "acm_",
    "caf\u00e9",
    "cafe\u0301",
)

SCRIPT = """
import sys
from pathlib import Path
from tests.operations.test_tenants import NAMES, check_names
check_names(Path(sys.argv[1]), NAMES[:3] + NAMES[-2:])
"""


def make(root: Path | str, *names: str, **options: Any) -> None:
    """Make tenants with one live memory of their own name, and an earlier version of it."""
    for name in names:
        with kiromi.open(root, scheme=SCHEME, tenant=name, durability="relaxed", **options) as store:
            store.update(store.append("former", {"user": "acme"}, key="k").id, content=name)


def text_of(root: Path | str, name: str, **options: Any) -> str:
    with kiromi.open(root, tenant=name, durability="relaxed", **options) as store:
        assert store.verify(read_data=True).problems == ()
        assert store.audit_verify().entries == 2
        return store.get(key="k").text


def check_names(root: Path, names: tuple[str, ...]) -> None:
    """Rename and drop each of many names; the others keep every file as it was."""
    make(root, *names)
    assert kiromi.tenants(root) == sorted(names)
    for name in names:
        others = beside(root, name)
        kiromi.rename_tenant(root, name, "moved")
        assert kiromi.tenants(root) == sorted([*(other for other in names if other != name), "moved"])
        assert beside(root, "moved") == others
        assert text_of(root, "moved") == name
        kiromi.rename_tenant(root, "moved", name)
        assert beside(root, name) == others
    for number, name in enumerate(names):
        others = beside(root, name)
        report = kiromi.drop_tenant(root, name, dry_run=False)
        assert (report.memories, report.objects) == (1, 2)
        assert kiromi.tenants(root) == sorted(names[number + 1 :])
        assert files_below(root) == others
    assert list(root.iterdir()) == []


def beside(root: Path, name: str) -> dict[str, bytes]:
    """Return all files but those of one tenant."""
    return {path: data for path, data in files_below(root).items() if path.split("/")[0] != tenant_folder(name)}


@pytest.fixture
def acme(root: Path) -> Path:
    make(root, "acme", "acme-corp", "Acme")
    return root


# -- list -------------------------------------------------------------------------------------------------------------


def test_no_store_has_no_tenants(root: Path) -> None:
    assert kiromi.tenants(root) == []
    root.write_bytes(b"")
    assert kiromi.tenants(root) == []


def test_a_listing_shows_what_can_be_opened_and_nothing_else(acme: Path) -> None:
    (acme / "notes").mkdir()
    (acme / "half" / "data").mkdir(parents=True)
    (acme / "catalog.duckdb").write_bytes(b"")
    (acme / "file").write_bytes(b"")
    for folder in ("%61cme", "a%2fb", "%", "__HIVE_DEFAULT_PARTITION__", "%41cme", "corp.", " x"):
        (acme / folder).mkdir()
        (acme / folder / "catalog.duckdb").write_bytes(b"")
    assert kiromi.tenants(acme) == ["Acme", "acme", "acme-corp"]
    assert kiromi.tenants(str(acme)) == kiromi.tenants(f"file://{acme}") == ["Acme", "acme", "acme-corp"]


def test_catalogs_that_lie_apart(root: Path, tmp_path: Path) -> None:
    make(root, "acme", "a/b", catalog=tmp_path / "catalogs")
    assert kiromi.tenants(root, catalog=tmp_path / "catalogs") == ["a/b", "acme"]
    assert kiromi.tenants(root) == []
    with pytest.raises(kiromi.InvalidInput, match="folder of catalogs"):
        kiromi.tenants(root, catalog=tmp_path / "one.duckdb")


def test_a_folder_that_cannot_be_listed(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(kiromi.StorageError, match="cannot list"):
        kiromi.tenants(acme)


# -- rename -----------------------------------------------------------------------------------------------------------


def noted_name(root: Path, folder: str) -> str:
    with duckdb.connect(root / folder / "catalog.duckdb", read_only=True) as connection:
        [(name,)] = connection.execute("SELECT tenant FROM meta").fetchall()
    return str(name)


def test_rename(acme: Path) -> None:
    others = beside(acme, "acme")
    kiromi.rename_tenant(acme, "acme", "a/b")
    assert kiromi.tenants(acme) == ["Acme", "a/b", "acme-corp"]
    assert text_of(acme, "a/b") == "acme"
    assert noted_name(acme, "a%2Fb") == "a/b"
    assert beside(acme, "a/b") == others
    with pytest.raises(kiromi.StoreNotFound):
        kiromi.open(acme, tenant="acme")
    with kiromi.open(acme, tenant="a/b") as store:
        store.append("more", {"user": "acme"})
    make(acme, "acme")
    assert text_of(acme, "acme") == "acme"


def test_rename_what_a_killed_process_left(root: Path) -> None:
    code = """
    store = kiromi.open(root, scheme="user={user}", tenant="acme")
    store.update(store.append("former", {"user": "acme"}, key="k").id, content="acme")
    say("done")
    hear()
    """
    with python(code, root) as process:
        assert process.hear() == "done"
        process.kill()
    kiromi.rename_tenant(root, "acme", "other")
    assert text_of(root, "other") == "acme"


@pytest.mark.parametrize("target", ["acme-corp", "acme", "empty", "file", "link"])
def test_rename_replaces_nothing(acme: Path, target: str) -> None:
    (acme / "empty").mkdir()
    (acme / "file").write_bytes(b"mine")
    (acme / "link").symlink_to("nowhere")
    others = beside(acme, "acme")
    with pytest.raises(kiromi.AlreadyExists, match=target):
        kiromi.rename_tenant(acme, "acme", target)
    assert beside(acme, "acme") == others
    assert text_of(acme, "acme") == "acme"


def test_rename_loses_a_race_for_the_name(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(kiromi.AlreadyExists, match="acme-corp"):
        kiromi.rename_tenant(acme, "acme", "acme-corp")
    assert text_of(acme, "acme") == "acme"
    assert text_of(acme, "acme-corp") == "acme-corp"


def test_a_rename_that_was_cut_short_leaves_one_name_or_the_other(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(5, "Input/output error", source)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        with pytest.raises(kiromi.StorageError, match="cannot rename"):
            kiromi.rename_tenant(acme, "acme", "other")
    assert noted_name(acme, "acme") == "other", "the catalog only notes a name; the folder's is the tenant's"
    assert kiromi.tenants(acme) == ["Acme", "acme", "acme-corp"]
    assert text_of(acme, "acme") == "acme"
    kiromi.rename_tenant(acme, "acme", "other")
    assert text_of(acme, "other") == "acme"


@pytest.mark.parametrize("name", ["acm", "acme-", "ACME", "*", "acme/", "..", "acme%", "default"])
@pytest.mark.parametrize("call", [kiromi.drop_tenant, lambda root, name: kiromi.rename_tenant(root, name, "new")])
def test_names_that_are_not_there(acme: Path, name: str, call: Callable[..., Any]) -> None:
    before = files_below(acme.parent)
    with pytest.raises(kiromi.StoreNotFound, match="no tenant"):
        call(acme, name)
    assert files_below(acme.parent) == before


def test_a_filesystem_that_ignores_case_does_not_mislead(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, "acme")
    (root / "Acme").symlink_to("acme")  # what such a filesystem does: the other name leads to the same folder
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [name for name in real(path) if name != "Acme"])
    with pytest.raises(kiromi.StoreNotFound):
        kiromi.drop_tenant(root, "Acme", dry_run=False)
    with pytest.raises(kiromi.StoreNotFound):
        kiromi.rename_tenant(root, "Acme", "new")
    assert text_of(root, "acme") == "acme"


@pytest.mark.parametrize("name", ["", "\ud800", "x" * 256])
def test_names_that_cannot_be_are_refused(acme: Path, name: str) -> None:
    with pytest.raises(kiromi.InvalidInput, match="tenant name"):
        kiromi.rename_tenant(acme, "acme", name)
    with pytest.raises(kiromi.InvalidInput, match="tenant name"):
        kiromi.drop_tenant(acme, name)


def test_rename_needs_data_and_catalog_in_one_folder(root: Path, tmp_path: Path) -> None:
    make(root, "acme", catalog=tmp_path / "catalogs")
    with pytest.raises(kiromi.InvalidInput, match="cannot rename"):
        kiromi.rename_tenant(root, "acme", "other", catalog=tmp_path / "catalogs")
    with pytest.raises(kiromi.InvalidInput, match="cannot rename"):
        kiromi.rename_tenant("memory://x", "acme", "other", catalog=tmp_path / "catalogs")
    assert text_of(root, "acme", catalog=tmp_path / "catalogs") == "acme"


# -- in use -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [False, True])
def test_what_this_process_has_open_is_refused(acme: Path, read_only: bool) -> None:
    with kiromi.open(acme, tenant="acme", read_only=read_only) as store:
        with pytest.raises(kiromi.StoreLocked, match="open in this process"):
            kiromi.rename_tenant(acme, "acme", "other")
        for dry_run in (True, False):
            with pytest.raises(kiromi.StoreLocked, match="open in this process"):
                kiromi.drop_tenant(acme, "acme", dry_run=dry_run)
        assert store.get(key="k").text == "acme"
        kiromi.rename_tenant(acme, "Acme", "other")
    kiromi.drop_tenant(acme, "acme", dry_run=False)
    assert kiromi.tenants(acme) == ["acme-corp", "other"]


def test_what_another_process_is_busy_with_is_refused(acme: Path) -> None:
    code = """
    store = kiromi.open(root, tenant="acme")
    with store.transaction() as tx:
        tx.append("more", {"user": "acme"})
        say("busy")
        hear()
    say("done")
    hear()
    """
    with python(code, acme) as process:
        assert process.hear() == "busy"
        with pytest.raises(kiromi.StoreLocked, match=f"process {process.pid}"):
            kiromi.rename_tenant(acme, "acme", "other", wait=0.1)
        with pytest.raises(kiromi.StoreLocked, match=f"process {process.pid}"):
            kiromi.drop_tenant(acme, "acme", dry_run=False, wait=0)
        process.say()
        assert process.hear() == "done"
        assert process.end() == 0
    assert kiromi.drop_tenant(acme, "acme").memories == 2


def test_another_process_that_does_nothing_hands_over_and_finds_it_gone(acme: Path) -> None:
    code = """
    store = kiromi.open(root, tenant="acme")
    say("open")
    hear()
    try:
        store.append("more", {"user": "acme"})
    except kiromi.StoreNotFound:
        say("gone")
    hear()
    """
    with python(code, acme) as process:
        assert process.hear() == "open"
        kiromi.rename_tenant(acme, "acme", "other", wait=30)
        process.say()
        assert process.hear() == "gone"
        assert process.end() == 0
    assert text_of(acme, "other") == "acme"


def test_one_that_was_renamed_while_waiting_is_not_there(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = StoreLock.acquire

    def late(lock: StoreLock, timeout_s: float) -> None:
        real(lock, timeout_s)
        os.rename(acme / "acme", acme / "other")

    with monkeypatch.context() as patch:
        patch.setattr(StoreLock, "acquire", late)
        with pytest.raises(kiromi.StoreNotFound):
            kiromi.drop_tenant(acme, "acme", dry_run=False)
    assert text_of(acme, "other") == "acme"


# -- drop -------------------------------------------------------------------------------------------------------------


def test_drop_shows_its_plan_and_then_follows_it(acme: Path) -> None:
    with kiromi.open(acme, tenant="acme") as store:
        store.append("more", {"user": "bob"})
        store.delete(store.append("deleted", {"user": "bob"}).id)
    others = beside(acme, "acme")
    before = files_below(acme)
    plan = kiromi.drop_tenant(acme, "acme")
    assert plan == kiromi.DropReport(False, "acme", 2, 4, len("former" + "acme" + "more" + "deleted"))
    assert set(files_below(acme)) == before.keys()
    done = kiromi.drop_tenant(acme, "acme", dry_run=False)
    assert done == kiromi.DropReport(True, "acme", 2, 4, plan.size_bytes)
    assert files_below(acme) == others
    assert not (acme / "acme").exists()
    with pytest.raises(kiromi.StoreNotFound):
        kiromi.drop_tenant(acme, "acme", dry_run=False)


def test_drop_takes_everything_in_the_folder(acme: Path) -> None:
    (acme / "acme" / "index" / "deep").mkdir(parents=True)
    (acme / "acme" / "index" / "deep" / "block").write_bytes(b"1")
    (acme / "acme" / "catalog.duckdb.before-0002").write_bytes(b"1")
    (acme / "acme" / "elsewhere").symlink_to(acme / "acme-corp")
    kiromi.drop_tenant(acme, "acme", dry_run=False)
    assert not (acme / "acme").exists()
    assert text_of(acme, "acme-corp") == "acme-corp"


def test_the_plan_counts_what_a_killed_process_left(root: Path) -> None:
    code = """
    store = kiromi.open(root, scheme="user={user}", tenant="acme")
    for number in range(3):
        store.append(f"{number}", {"user": "acme"})
    say("done")
    hear()
    """
    with python(code, root) as process:
        assert process.hear() == "done"
        process.kill()
    assert kiromi.drop_tenant(root, "acme") == kiromi.DropReport(False, "acme", 3, 3, 3)


def test_a_drop_that_was_cut_short_is_finished_by_another(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        with pytest.raises(kiromi.StorageError, match="cannot remove"):
            kiromi.drop_tenant(acme, "acme", dry_run=False)
    assert kiromi.tenants(acme) == ["Acme", "acme", "acme-corp"]
    kiromi.drop_tenant(acme, "acme", dry_run=False)
    assert kiromi.tenants(acme) == ["Acme", "acme-corp"]


def test_drop_with_catalogs_that_lie_apart(root: Path, tmp_path: Path) -> None:
    catalogs = tmp_path / "catalogs"
    make(root, "acme", "acme-corp", catalog=catalogs)
    assert kiromi.drop_tenant(root, "acme", dry_run=False, catalog=catalogs).objects == 2
    assert [path.name for path in root.iterdir()] == [path.name for path in catalogs.iterdir()] == ["acme-corp"]
    assert text_of(root, "acme-corp", catalog=catalogs) == "acme-corp"


def test_drop_with_catalogs_that_lie_apart_and_no_data(root: Path, tmp_path: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, tenant="acme", catalog=tmp_path / "catalogs", durability="relaxed"):
        pass
    if (root / "acme").exists():
        for path in sorted((root / "acme").rglob("*"), reverse=True):
            path.rmdir()
        (root / "acme").rmdir()
    assert kiromi.drop_tenant(root, "acme", dry_run=False, catalog=tmp_path / "catalogs").objects == 0
    assert list((tmp_path / "catalogs").iterdir()) == []


def test_drop_with_a_catalog_file_of_its_own(root: Path, tmp_path: Path) -> None:
    for name in ("acme", "acme-corp"):
        make(root, name, catalog=tmp_path / f"{name}.duckdb")
    (tmp_path / "acme.duckdb.before-0002").write_bytes(b"1")
    (tmp_path / "acme.duckdb.mine").write_bytes(b"1")
    with pytest.raises(kiromi.InvalidInput, match="belongs to tenant 'acme'"):
        kiromi.drop_tenant(root, "acme-corp", dry_run=False, catalog=tmp_path / "acme.duckdb")
    kiromi.drop_tenant(root, "acme", dry_run=False, catalog=tmp_path / "acme.duckdb")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["acme-corp.duckdb", "acme-corp.lock", "acme-corp.lock.ask", "acme.duckdb.mine", "memories"]
    assert [path.name for path in root.iterdir()] == ["acme-corp"]
    assert text_of(root, "acme-corp", catalog=tmp_path / "acme-corp.duckdb") == "acme-corp"
    with pytest.raises(kiromi.StoreNotFound):
        kiromi.drop_tenant(root, "acme", catalog=tmp_path / "acme.duckdb")


def test_a_catalog_that_fails(acme: Path) -> None:
    with duckdb.connect(acme / "acme" / "catalog.duckdb") as connection:
        connection.execute("ALTER TABLE meta DROP tenant")
    with pytest.raises(kiromi.StorageError, match="catalog"):
        kiromi.rename_tenant(acme, "acme", "other")
    (acme / "acme" / "catalog.duckdb").write_bytes(b"no catalog")
    with pytest.raises(kiromi.StorageError, match="cannot open the catalog"):
        kiromi.drop_tenant(acme, "acme", dry_run=False)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    url = f"memory://{tmp_path.name}-tenants"
    yield url
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(url):
        filesystem.rm(url, recursive=True)


def test_tenants_of_an_object_store(bucket: str, tmp_path: Path) -> None:
    catalogs = tmp_path / "catalogs"
    make(bucket, "acme", "acme-corp", "acme%", catalog=catalogs)
    assert kiromi.tenants(bucket, catalog=catalogs) == ["acme", "acme%", "acme-corp"]
    assert kiromi.drop_tenant(bucket, "acme", catalog=catalogs) == kiromi.DropReport(False, "acme", 1, 2, 10)
    assert kiromi.drop_tenant(bucket, "acme", dry_run=False, catalog=catalogs).applied
    assert kiromi.tenants(bucket, catalog=catalogs) == ["acme%", "acme-corp"]
    left = fsspec.filesystem("memory").find(bucket)
    assert {path.split("/")[2] for path in left} == {"acme%25", "acme-corp"}
    for name in ("acme%", "acme-corp"):
        assert text_of(bucket, name, catalog=catalogs) == name


# -- names ------------------------------------------------------------------------------------------------------------


def test_names_that_are_alike_do_not_touch_each_other(tmp_path: Path) -> None:
    check_names(tmp_path / "s", NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_the_same_under_the_c_locale(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "s")],
        env={**environment, "LC_ALL": "C", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
