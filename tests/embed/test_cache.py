"""Model folders: whole or absent, checked before use."""

import os
from pathlib import Path

import pytest

from kiromi.embed import cache
from kiromi.errors import EmbedderError

FILES = {"graph.onnx": b"graph" * 1000, "tokenizer.json": b"{}"}


def accept(_: Path) -> None: ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "new" / "model"
    cache.publish(place, FILES, accept)
    return place


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_published_is_whole_and_alone(folder: Path) -> None:
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert names(folder.parent) == ["model"]
    cache.check(folder)


def test_it_replaces_what_was_there(folder: Path) -> None:
    (folder / "graph.onnx").write_bytes(b"torn")
    (folder / "left-over").write_bytes(b"")
    cache.publish(folder, {"graph.onnx": b"new"}, accept)
    assert names(folder) == ["graph.onnx", "manifest.json"]
    assert (folder / "graph.onnx").read_bytes() == b"new"
    assert names(folder.parent) == ["model"]


def test_what_is_not_accepted_does_not_appear(folder: Path) -> None:
    seen: list[dict[str, bytes]] = []

    def refuse(place: Path) -> None:
        cache.check(place)
        seen.append({name: (place / name).read_bytes() for name in ("graph.onnx",)})
        raise EmbedderError("a wrong answer")

    with pytest.raises(EmbedderError, match="a wrong answer"):
        cache.publish(folder, {"graph.onnx": b"wrong"}, refuse)
    assert seen == [{"graph.onnx": b"wrong"}]
    assert (folder / "graph.onnx").read_bytes() == FILES["graph.onnx"]
    assert names(folder.parent) == ["model"]


def test_two_that_publish_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def slow_rename(source: Path, to: Path) -> None:
        if Path(source).suffix == ".partial":
            # Another process was quicker by this much.
            monkeypatch.setattr(os, "rename", rename)
            cache.publish(folder, FILES, accept)
        rename(source, to)

    monkeypatch.setattr(os, "rename", slow_rename)
    cache.publish(folder, FILES, accept)
    cache.check(folder)
    assert names(folder.parent) == ["model"]


def test_a_rename_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(EmbedderError, match=r"cannot be written to .*model: not here"):
        cache.publish(tmp_path / "model", FILES, accept)
    assert names(tmp_path) == []


def test_a_rename_that_fails_halfway_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def fail(source: Path, to: Path) -> None:
        if Path(source).suffix == ".partial":
            raise PermissionError("not here")
        rename(source, to)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(EmbedderError, match="cannot be written"):
        cache.publish(folder, FILES, accept)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EmbedderError, match="cannot be written"):
        cache.publish(tmp_path / "file" / "model", FILES, accept)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_found(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(EmbedderError, match=rf"is damaged: .*{name}"):
        cache.check(folder)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff"])
def test_a_damaged_manifest_is_found(folder: Path, content: bytes | None) -> None:
    (folder / "manifest.json").unlink()
    if content is not None:
        (folder / "manifest.json").write_bytes(content)
    with pytest.raises(EmbedderError, match="is damaged"):
        cache.check(folder)


def test_where_models_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KIROMI_MODELS", "~/here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache.models_folder() == tmp_path / "here"
    monkeypatch.setenv("KIROMI_MODELS", "")
    assert cache.models_folder() == tmp_path / "caches" / "kiromi" / "models"
    for unset in ("relative", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache.models_folder() == tmp_path / ".cache" / "kiromi" / "models"
