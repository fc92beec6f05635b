"""The peer that vector search is held against: Chroma, asked in a process of its own, if there is one to ask.

``KIROMI_BENCH_CHROMA_PYTHON`` names an interpreter that has ``chromadb`` (empty: none); without it, this one is asked.
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tools.bench.vectors import NEAREST, Matrix

INTERPRETER = "KIROMI_BENCH_CHROMA_PYTHON"
REASON = "not measured (install chromadb)"
_WORKER = Path(__file__).with_name("chroma_worker.py")


@dataclass(frozen=True, slots=True)
class Peer:
    """A running Chroma, with collections by name."""

    folder: Path
    """Where vectors are handed over."""
    commands: IO[str]
    answers: IO[str]

    def add(self, name: str, texts: Sequence[str], users: Sequence[str], vectors: Matrix) -> float:
        """Add rows to a new collection, in batches as large as it takes; return the seconds."""
        answer = self._ask(do="add", name=name, texts=texts, users=users, vectors=self._file(vectors))
        return float(answer["seconds"])

    def query(self, name: str, queries: Matrix, user: str | None = None) -> tuple[list[float], list[list[int]]]:
        """Ask for the nearest rows, with documents and metadata; return the seconds and the rows of each query."""
        answer = self._ask(do="query", name=name, queries=self._file(queries), user=user, k=NEAREST)
        return answer["seconds"], answer["rows"]

    def _file(self, vectors: Matrix) -> str:
        path = self.folder / "vectors.npy"
        np.save(path, vectors)
        return str(path)

    def _ask(self, **command: Any) -> Any:
        self.commands.write(json.dumps(command) + "\n")
        self.commands.flush()
        answer = self.answers.readline()
        if not answer:
            raise RuntimeError("Chroma's process ended; what it said is on stderr")
        return json.loads(answer)


def interpreter() -> str | None:
    """Return an interpreter that has ``chromadb``, or None."""
    named = os.environ.get(INTERPRETER)
    if named is not None:
        return named or None
    return sys.executable if importlib.util.find_spec("chromadb") else None


@contextlib.contextmanager
def peer(folder: Path) -> Iterator[Peer | None]:
    """Run Chroma in a new folder meanwhile; None if there is none."""
    python = interpreter()
    if python is None:
        yield None
        return
    folder.mkdir()
    command = [python, str(_WORKER), str(folder / "chroma")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise ValueError("a process without pipes")
        yield Peer(folder, process.stdin, process.stdout)  # afterwards its stdin is closed, at which it ends
