"""SIGKILL at moments all over an erasure: either nothing happened, or opening the store completes it (P6, P14)."""

import shutil
from pathlib import Path

import pytest

import kiromi
from tests.operations.erasing import lives, new_token, places_of, remember
from tests.operations.killing import COUNTED, is_erased, points, run

_ERASE = (
    COUNTED
    + """
from kiromi.operations import erase

erase.BATCH = 1
with kiromi.open(sys.argv[2]) as store:
    sys.setprofile(profile)
    store.erase(sys.argv[3:], dry_run=False)
    sys.setprofile(None)
print(events)
"""
)
SEED = 20_260_301


def kill_many(tmp_path: Path, kills: int) -> int:
    """Kill so many erasures, evenly spread over their steps; return how many of them had begun."""
    token = new_token()
    base = tmp_path / "base"
    erased, others = remember(base, token)
    untouched = [one for one in others if one != others[2]]  # that one was superseded by an erased memory
    with kiromi.open(base) as store:
        wanted = lives(store, untouched)

    def copy(name: str) -> Path:
        return Path(shutil.copytree(base, tmp_path / name))

    steps = run(_ERASE, 0, copy("whole"), *erased)
    assert steps is not None
    assert places_of(tmp_path / "whole", token, *erased) == set()
    begun = 0
    for point in points(steps, kills, SEED):
        root = copy("killed")
        assert run(_ERASE, point, root, *erased) is None
        with kiromi.open(root) as store:
            has_begun = is_erased(store, erased, f"step {point} of {steps}")
            begun += has_begun
            if not has_begun:
                assert store.erase(erased, dry_run=False).memories == len(erased)
            assert lives(store, untouched) == wanted
            assert store.verify(read_data=True).is_clean
            assert store.audit_verify().is_clean
            assert store.erase(erased, dry_run=False).memories == 0
        assert places_of(root, token, *erased) == set(), f"step {point} of {steps}"
        shutil.rmtree(root)
    return begun


def test_a_killed_erasure_is_completed_by_the_next_opening(tmp_path: Path) -> None:
    assert kill_many(tmp_path, 6) >= 2


@pytest.mark.torture
def test_forty_kills(tmp_path: Path) -> None:
    assert kill_many(tmp_path, 40) >= 20
