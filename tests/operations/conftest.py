"""Fixtures: a fresh store of two segments, and its root."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import kiromi

SCHEME = "user={user}/topic={topic|inbox}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "memories"


@pytest.fixture
def store(root: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(root, scheme=SCHEME, actor="tester") as opened:
        yield opened
