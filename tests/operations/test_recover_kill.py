"""SIGKILL at moments all over a recovery, and over an erasure that rewrites archives (P4, P6, P14)."""

import shutil
from pathlib import Path

import pytest

import kiromi
from tests.operations.archived import open_filled
from tests.operations.erasing import SNAPSHOT, new_token, places_of, remember
from tests.operations.killing import COUNTED, is_erased, points, run
from tests.operations.test_erase_archives import archived_places

SEED = 20_261_128
_COUNTED = (
    COUNTED
    + """
from kiromi.operations import erase, recovering
from kiromi.portable.archive import forget

CALLS |= {"write", "write_table"}
"""
)
_RECOVER = (
    _COUNTED
    + """
sys.setprofile(profile)
kiromi.recover(sys.argv[2], archives=sys.argv[3:], dry_run=False)
sys.setprofile(None)
print(events)
"""
)
_ERASE = (
    _COUNTED
    + """
with kiromi.open(sys.argv[2], archive=sys.argv[3]) as store:
    sys.setprofile(profile)
    store.erase(sys.argv[6:], archives=sys.argv[4:6], dry_run=False)
    sys.setprofile(None)
print(events)
"""
)


def kill_recoveries(folder: Path, kills: int) -> None:
    base, archive = folder / "base", folder / "archive"
    store, ids = open_filled(base)
    with store:
        store.export_archive("live", archive, contents=False)
        store.delete(ids["gone"])
        new = store.append("New.", {"user": "eve"}, vector=[1.0, 0.0]).id
        brief = store.append("Brief.", {"user": "eve"}, vector=[1.0, 0.0]).id
        store.delete(brief)
        wanted = store.get_many(store.list_ids()[:3])
    (base / "default" / "catalog.duckdb").unlink()
    blobs = _blobs(base)
    steps = run(_RECOVER, 0, shutil.copytree(base, folder / "whole"), archive)
    assert steps is not None
    for point in points(steps, kills, SEED):
        root = Path(shutil.copytree(base, folder / "killed"))
        assert run(_RECOVER, point, root, archive) is None
        assert _blobs(root) == blobs, f"step {point} of {steps}"
        if not (root / "default" / "catalog.duckdb").exists():
            with pytest.raises(kiromi.IntegrityError, match="kiromi recover"):
                kiromi.open(root)
            assert kiromi.recover(root, archives=[archive], dry_run=False).kept == 1
        with kiromi.open(root) as store:
            assert store.get_many(store.list_ids()[:3]) == wanted
            assert store.get(new).text == "New."
            assert store.undelete(ids["gone"]).id == ids["gone"]
            assert store.undelete(brief).id == brief
            assert store.verify(read_data=True).problems == (), f"step {point} of {steps}"
        assert not list((root / "default").glob("catalog.duckdb.recovering*"))
        shutil.rmtree(root)


def _blobs(root: Path) -> dict[str, bytes]:
    tenant = root / "default"
    found = (path for prefix in ("data", "attic") for path in (tenant / prefix).rglob("*") if path.is_file())
    return {str(path.relative_to(tenant)): path.read_bytes() for path in found}


def kill_erasures(folder: Path, kills: int) -> int:
    """Kill erasures that rewrite archives; return how many of them had begun."""
    token = new_token()
    base = folder / "base"
    erased, others = remember(base / "store", token)
    with kiromi.open(base / "store", archive=base / "beside") as store:
        store.export_archive(SNAPSHOT, base / "full")
        store.update(erased[0], content=f"later {token}")
        store.export_archive("live", base / "increment", since=SNAPSHOT)
        store.snapshot("kept")
        store.append(f"last {token}", {"user": token})
        erased.append(store.list_ids()[-1])

    def erase(root: Path, last: int) -> int | None:
        return run(_ERASE, last, *(root / one for one in ("store", "beside", "full", "increment")), *erased)

    steps = erase(Path(shutil.copytree(base, folder / "whole")), 0)
    assert steps is not None
    begun = 0
    for point in points(steps, kills, SEED):
        root = Path(shutil.copytree(base, folder / "killed"))
        assert erase(root, point) is None
        where = f"step {point} of {steps}"
        with kiromi.open(root / "store", archive=root / "beside") as store:
            has_begun = is_erased(store, erased, where)
            begun += has_begun
            if not has_begun:
                assert {place.partition("/")[0] for place in archived_places(root / "full", token)} >= {"contents"}
                archives = [root / "full", root / "increment"]
                assert store.erase(erased, archives=archives, dry_run=False).memories == len(erased)
            assert sorted(store.list_ids()) == sorted(others), where
            assert store.verify(read_data=True).problems == (), where
            digest = store.digest()
        # The children named folders of their own, so what they began is in these.
        assert archived_places(root, token, *erased) == set(), where
        assert places_of(root / "store", token, *erased) == set(), where
        for url in (root / "full", root / "increment", *(root / "beside").iterdir()):
            assert kiromi.verify_archive(url).problems == (), where
        kiromi.import_archive([root / "full", root / "increment"], root / "copy")
        with kiromi.open(root / "copy") as copy:
            assert copy.digest() == digest, where
            assert copy.audit_verify().problems == (), where
        shutil.rmtree(root)
    return begun


def test_a_killed_recovery_is_done_again(tmp_path: Path) -> None:
    kill_recoveries(tmp_path, 3)


def test_a_killed_erasure_of_archives_is_completed_by_the_next_opening(tmp_path: Path) -> None:
    assert kill_erasures(tmp_path, 4) >= 2


@pytest.mark.torture
def test_thirty_kills_of_a_recovery(tmp_path: Path) -> None:
    kill_recoveries(tmp_path, 30)


@pytest.mark.torture
def test_thirty_kills_of_an_erasure_of_archives(tmp_path: Path) -> None:
    assert kill_erasures(tmp_path, 30) >= 15
