"""Chroma, the peer, in a process of its own: run by an interpreter that has ``chromadb``, which kiromi's need not.

It reads one JSON command a line and answers each with one line; :mod:`tools.bench.chroma` says which. Only what Chroma
itself does is timed: everything that it is given is in memory before. Persistent, cosine, its default HNSW.
"""

import json
import sys
import time
from typing import Any

import chromadb  # type: ignore[import-not-found, unused-ignore]
import numpy as np
from chromadb.config import Settings  # type: ignore[import-not-found, unused-ignore]


class Worker:
    """Chroma in one folder, a collection for each name."""

    def __init__(self, folder: str) -> None:
        self._client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))

    def add(self, name: str, texts: list[str], users: list[str], vectors: str) -> dict[str, Any]:
        """Add rows to a new collection, numbered from 0; ``vectors`` is a file."""
        collection = self._client.create_collection(
            name, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        ids = [str(number) for number in range(len(texts))]
        metadatas = [{"user": user} for user in users]
        matrix = np.load(vectors)
        size = self._client.get_max_batch_size()
        started = time.perf_counter()
        for start in range(0, len(ids), size):
            part = slice(start, start + size)
            collection.add(ids=ids[part], embeddings=matrix[part], documents=texts[part], metadatas=metadatas[part])
        return {"seconds": time.perf_counter() - started}

    def query(self, name: str, queries: str, user: str | None, k: int) -> dict[str, Any]:
        """Ask for the ``k`` nearest rows, of one user if one is given, for each vector in the file ``queries``."""
        collection = self._client.get_collection(name, embedding_function=None)
        where = None if user is None else {"user": user}
        seconds, rows = [], []
        for query in np.load(queries):
            started = time.perf_counter()
            found = collection.query(
                query_embeddings=query[np.newaxis],
                n_results=k,
                where=where,
                include=["documents", "metadatas", "distances"],
            )
            seconds.append(time.perf_counter() - started)
            rows.append([int(number) for number in found["ids"][0]])
        return {"seconds": seconds, "rows": rows}


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(worker, command.pop("do"))(**command)), flush=True)
