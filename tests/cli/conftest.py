"""A program on an empty store, and one with a few memories in it."""

import os
from pathlib import Path

import pytest

from tests.cli.running import SCHEME, Program


@pytest.fixture
def bare(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program where there is no store yet."""
    for name in [name for name in os.environ if name.startswith("KIROMI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    return Program(tmp_path / "store", capsysbinary, monkeypatch)


@pytest.fixture
def kiromi(bare: Program) -> Program:
    """The program on an empty store."""
    bare("init", "--scheme", SCHEME)
    return bare


@pytest.fixture
def filled(kiromi: Program) -> Program:
    """The program on a store with four memories."""
    kiromi.add(
        "Prefers aisle seats.", "--partition=user=ana", "--partition=topic=travel", "--tag=pref", "--attr=trip:=7"
    )
    kiromi.add("Call back.", "--partition=user=ana", "--key=call", "--namespace=todo", "--title=Plumber")
    kiromi.add("Deploys on Tuesdays.", "--partition=user=bob", "--partition=topic=café/bar", "--kind=procedural")
    kiromi.add("Gone soon.", "--partition=user=bob", "--attr=trip:=3", "--importance=0.5")
    return kiromi
