"""An embedder that remembers: what was embedded once, in this run or an earlier one, is not embedded again.

It stands in for the embedder that it wraps: same id, same vectors. The dense baseline and kiromi share it, so a run
embeds short documents and queries once.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kiromi.embed.base import Embedder, Matrix, Model, Role
from kiromi.errors import EmbedderError, InvalidInput


class RememberingEmbedder:
    """Passes on what ``inner`` offers, and keeps its vectors by role and text.

    Args:
        inner: embeds what is not remembered.
        folder: keeps the vectors for later runs, in one file for each model; None keeps them only in this object.

    Raises:
        InvalidInput: ``inner`` is no embedder, or ``folder`` cannot be written.
    """

    def __init__(self, inner: Embedder, folder: Path | None = None) -> None:
        self._inner = inner
        place = ":memory:" if folder is None else str(folder / f"{Model.of(inner).fingerprint[:16]}.sqlite")
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._kept = sqlite3.connect(place, check_same_thread=False, isolation_level=None)
            self._kept.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            raise InvalidInput(f"cannot keep vectors in {folder}: {error}") from error
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def id(self) -> str:
        """As the wrapped embedder's."""
        return self._inner.id

    @property
    def dimension(self) -> int:
        """As the wrapped embedder's."""
        return self._inner.dimension

    @property
    def metric(self) -> Any:
        """As the wrapped embedder's."""
        return self._inner.metric

    @property
    def batch_size(self) -> int:
        """As the wrapped embedder's."""
        return self._inner.batch_size

    def close(self) -> None:
        """Close the file."""
        self._kept.close()

    def embed(self, texts: Sequence[str], role: Role) -> Matrix:
        """Return one vector for each text: shape (len(texts), dimension).

        Raises:
            EmbedderError: the wrapped embedder gave another shape.
        """
        keys = [hashlib.sha256(f"{role}\0{text}".encode()).digest() for text in texts]
        with self._lock:
            known = {key: found for key in keys if (found := self._find(key)) is not None}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            vectors = np.asarray(self._inner.embed(list(missing.values()), role), np.float32)
            if vectors.shape != (len(missing), self.dimension):
                raise EmbedderError(
                    f"the embedder gave the shape {vectors.shape}, not {(len(missing), self.dimension)}"
                )
            rows = dict(zip(missing, (vector.tobytes() for vector in vectors), strict=True))
            with self._lock:
                self._kept.execute("BEGIN")
                self._kept.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows.items())
                self._kept.execute("COMMIT")
            known |= rows
        flat = np.frombuffer(b"".join(known[key] for key in keys), np.float32)
        return flat.reshape(len(texts), self.dimension)

    def _find(self, key: bytes) -> bytes | None:
        row = self._kept.execute("SELECT vector FROM vectors WHERE text = ?", [key]).fetchone()
        return None if row is None else bytes(row[0])
