"""Each patch in this folder breaks one promise of the design; the tests that it names must fail for it.

A patch begins with lines ``Promise:``, ``Breaks:`` and ``Caught-by:`` (test files, or tests in them) and goes on as a
unified diff, applied to a copy of the tree. If a patch does not apply any more, the code that it breaks has moved: make
it anew.

Run with ``pytest -m sabotage``.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_PATCHES = sorted(_HERE.glob("*.patch"))
_PROMISES = ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "P13", "P14")


def _header(patch: Path, name: str) -> str:
    found = re.search(rf"^{name}: (.+)$", patch.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{patch.name} has no line {name}:"
    return found.group(1).strip()


def _copy(target: Path) -> Path:
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
    return Path(shutil.copytree(_ROOT, target / "tree", ignore=ignored))


def _pytest(tree: Path, tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-cov", "-p", "no:cacheprovider", *tests.split()]
    # The working directory comes first on the path of `python -m`, so the copy is tested and not an installed kiromi.
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=600)


def test_every_promise_has_its_saboteur() -> None:
    assert {_header(patch, "Promise") for patch in _PATCHES} >= set(_PROMISES)
    for patch in _PATCHES:
        for test in _header(patch, "Caught-by").split():
            assert (_ROOT / test.partition("::")[0]).exists(), f"{patch.name} names {test}, which is not there"


def test_every_patch_applies() -> None:
    for patch in _PATCHES:
        command = ["git", "apply", "--check", "--unsafe-paths", str(patch)]
        checked = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{patch.name} does not apply, make it anew: {checked.stderr}"


@pytest.mark.sabotage
@pytest.mark.parametrize("patch", _PATCHES, ids=lambda patch: patch.stem)
def test_sabotage_is_caught(patch: Path, tmp_path: Path) -> None:
    tree = _copy(tmp_path)
    tests = _header(patch, "Caught-by")
    applied = subprocess.run(
        ["git", "apply", "--unsafe-paths", str(patch)], cwd=tree, capture_output=True, text=True, check=False
    )
    assert applied.returncode == 0, f"{patch.name} does not apply: {applied.stderr}"
    result = _pytest(tree, tests)
    assert result.returncode == 1, f"nothing noticed that {_header(patch, 'Breaks')}:\n{result.stdout[-3000:]}"


@pytest.mark.sabotage
def test_the_tests_pass_without_sabotage(tmp_path: Path) -> None:
    tests = sorted({test for patch in _PATCHES for test in _header(patch, "Caught-by").split()})
    result = _pytest(_copy(tmp_path), " ".join(tests))
    assert result.returncode == 0, result.stdout[-3000:]
