"""Names chosen to collide: tenants and partitions share nothing, and no value leaves the tree (P7, P8)."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kiromi
from tests.operations.tree import files_below

NAMES = (
    "acme",
    "acme-corp",
    "Acme",
    "ACME",
    "acme.",
    ".acme",
    " acme",
    "acme ",
    "acme%",
    "acme%2E",
    "acme/corp",
    "acme\\corp",
    "..",
    ".",
    "../acme",
    "*",
    "ac*",
    "?",
    "acm_",
    "%",
    "caf\u00e9",
    "cafe\u0301",
    "\u212bngstr\u00f6m",
    "\u00c5ngstr\u00f6m",
    "\u0130",
    "data",
    "attic",
    "catalog.duckdb",
    "lock",
    "default",
    "user=acme",
    "__HIVE_DEFAULT_PARTITION__",
    "a\0b",
    "a\nb",
    "\U0001f9e0",
)

SCRIPT = """
import sys
from pathlib import Path
import kiromi
from tests.operations.test_collisions import NAMES, check_partitions, check_tenants
root = Path(sys.argv[1])
check_tenants(root / "tenants", NAMES[1::3])
check_partitions(root / "partitions")
"""


def check_tenants(root: Path, names: Sequence[str]) -> None:
    """One store, a tenant for each name, each with one memory under the same key."""
    with contextlib.ExitStack() as stack:
        stores: dict[str, kiromi.Store] = {}
        ids: dict[str, str] = {}
        for name in names:
            store = stack.enter_context(kiromi.open(root, scheme="user={user}", tenant=name, durability="relaxed"))
            assert store.seq == 0, f"tenant {name!r} is new"
            stores[name] = store
            ids[name] = store.append(name, {"user": "acme"}, key="k").id
        for name, store in stores.items():
            assert store.tenant == name
            assert [store.get(memory_id).text for memory_id in store.list_ids()] == [name]
            assert store.get(key="k").id == ids[name]
            for other in names:
                assert store.exists(ids[other]) == (other == name)
    folders = sorted(path.name for path in root.iterdir())
    assert len(folders) == len(names)
    assert all((root / folder / "catalog.duckdb").is_file() for folder in folders)
    blobs = [data for path, data in files_below(root).items() if path.endswith(".md")]
    assert sorted(blobs) == sorted(name.encode() for name in names)


def check_partitions(root: Path) -> None:
    """One tenant, a partition for each name, at two levels."""
    with kiromi.open(root, scheme="user={user}/{topic}", durability="relaxed") as store:
        store.append_many(
            {"content": f"{name}|{topic}", "partition": {"user": name, "topic": topic}}
            for name in NAMES
            for topic in ("acme", name)
        )
    with kiromi.open(root, durability="relaxed") as store:
        for name in NAMES:
            found = [store.get(memory_id).text for memory_id in store.list_ids({"user": name})]
            assert sorted(found) == sorted([f"{name}|acme", f"{name}|{name}"])
            scoped = store.scoped({"user": name})
            assert scoped.count() == 2
            assert all(store.get(i).attributes["user"] == name for i in scoped.list_ids())
        for path, data in files_below(root / "default" / "data").items():
            assert len(path.split("/")) == 3
            memory = store.get(path.split("/")[-1][:26])
            assert memory.path == f"data/{path}"
            assert memory.data == data


def test_tenants_share_nothing(tmp_path: Path) -> None:
    check_tenants(tmp_path / "s", NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_partitions_share_nothing(tmp_path: Path) -> None:
    check_partitions(tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_the_same_under_the_c_locale(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**environment, "LC_ALL": "C", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("tenant", ["", "\ud800", "x" * 256, "\u00e9" * 128])
def test_tenants_that_cannot_be_folders_are_refused(tmp_path: Path, tenant: str) -> None:
    with pytest.raises(kiromi.InvalidInput, match="tenant"):
        kiromi.open(tmp_path / "s", scheme="user={user}", tenant=tenant)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kiromi.Store]:
    root = tmp_path_factory.mktemp("collisions") / "s"
    with kiromi.open(root, scheme="{user}/t={topic|inbox}", durability="relaxed") as opened:
        yield opened


@given(value=st.text(st.characters(), max_size=80) | st.sampled_from(NAMES))
def test_any_value_comes_back_exactly_or_is_refused(shared: kiromi.Store, value: str) -> None:
    root = Path(shared._base.session.root.path)
    seq, files = shared.seq, set(files_below(root / "default" / "data"))
    try:
        m = shared.append("x", {"user": value, "topic": value})
    except kiromi.InvalidInput:
        assert shared.seq == seq
        assert set(files_below(root / "default" / "data")) == files
        return
    assert m.partition == {"user": value, "t": value}
    new = set(files_below(root / "default" / "data")) - files
    assert new == {m.path.removeprefix("data/")}
    assert len(m.path.split("/")) == 4
    assert m.id in shared.list_ids({"user": value})
    assert all(shared.get(i).attributes["user"] == value for i in shared.list_ids({"user": value}))
    assert sorted(path.name for path in root.iterdir()) == ["default"]
