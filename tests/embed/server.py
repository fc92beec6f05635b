"""An embeddings server on loopback that answers as it is told, and remembers what it was asked."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from kiromi.embed.hashing import HashingEmbedder

DIMENSION = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    path: str
    headers: Mapping[str, str]
    question: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a status."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Drop:
    """The connection breaks off before an answer."""


@dataclass(frozen=True, slots=True)
class Raw:
    """These bytes, whatever HTTP says, then the end of the connection."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Stall:
    """These bytes at once, then the others one by one, so many seconds before each."""

    head: bytes
    data: bytes
    seconds: float


Answer: TypeAlias = Reply | Drop | Raw | Stall | Callable[[Asked], "Reply"]


def vectors_reply(asked: Asked, change: Callable[[list[dict[str, Any]]], Any] = lambda items: items) -> Reply:
    """A good answer: the lexical baseline's vectors, as OpenAI sends them."""
    texts = asked.question["input"]
    # OpenAI refuses an empty text.
    assert "" not in texts
    vectors = HashingEmbedder(asked.question.get("dimensions", DIMENSION)).embed(texts, "document").tolist()
    items = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return Reply(200, json.dumps({"object": "list", "data": change(items)}).encode())


class Server:
    """What a test sees of the server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.asked: list[Asked] = []
        self.script: list[Answer] = []
        """What the next requests are answered; then it answers well."""
        self.closing = threading.Event()
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: "_Http"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = Asked(self.path, dict(self.headers.items()), json.loads(body))
        seen = self.server.seen
        with seen.lock:
            seen.asked.append(asked)
            answer = seen.script.pop(0) if seen.script else vectors_reply
        match answer:
            case Drop():
                self._end()
            case Raw(data):
                self.wfile.write(data)
                self._end()
            case Stall():
                self._drip(answer)
            case _:
                self._reply(answer if isinstance(answer, Reply) else answer(asked))

    def _reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def _drip(self, stall: Stall) -> None:
        with suppress(OSError):  # the client has gone, as it should
            self.wfile.write(stall.head)
            for byte in stall.data:
                self.server.seen.closing.wait(stall.seconds)
                self.wfile.write(bytes([byte]))
        self._end()

    def _end(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen = Server(self.server_port)


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server in threads of this process."""
    http = _Http()
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield http.seen
    finally:
        http.seen.closing.set()
        http.shutdown()
        thread.join()
        http.server_close()
