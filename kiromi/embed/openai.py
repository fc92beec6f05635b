"""Embeddings over HTTP, from OpenAI or any server that speaks its ``POST /embeddings``.

It promises that the key goes to the named server only, and appears in no message, repr or spec, even if the server
sends it back. A call either gives every vector or raises; what may pass is tried again.
"""

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np

from kiromi.embed import posting
from kiromi.embed.base import Matrix, Metric, Role
from kiromi.embed.checks import check_dimension, check_name, check_whole
from kiromi.errors import EmbedderError, InvalidInput

BASE_URL, API_KEY_ENV, WINDOW = "https://api.openai.com/v1", "OPENAI_API_KEY", 8_191
_PASSING = frozenset({408, 409, 429, *range(500, 600)})
"""Statuses after which it is tried again."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_SHOWN = 300
"""Characters of a server's message that an error quotes."""


@dataclass(frozen=True, slots=True)
class OpenAIEmbedder:
    """An embedding model behind an OpenAI-compatible endpoint; documents and queries are embedded alike.

    Timeouts, broken connections and the statuses 408, 409, 429 and 5xx are tried again, after a pause that doubles from
    half a second, or that the server's Retry-After asks for (up to a minute).

    Args:
        model: as the server calls it.
        dimension: length of its vectors; an answer of another length is refused.
        base_url: what ``/embeddings`` is appended to; without user name, query and fragment.
        api_key_env: the environment variable with the key, read at each call. Without the variable no key is sent,
            which suits servers of one's own.
        shorten: ask the model for shorter vectors of length ``dimension``, which only some models can give.
        timeout_s: seconds for one request.
        retries: how often a request is tried again.
        batch_size: texts in one request.
        window: tokens per text that the model takes; None if there is no limit.
        sleep: waits for so many seconds between two tries.

    Raises:
        InvalidInput: one of them is out of its range.
    """

    model: str
    _: KW_ONLY
    dimension: int
    base_url: str = BASE_URL
    api_key_env: str = API_KEY_ENV
    shorten: bool = False
    timeout_s: float = 30.0
    retries: int = 5
    batch_size: int = 64
    window: int | None = WINDOW
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_name("model", self.model)
        if "#" in self.model or re.search("@https?://", self.model):
            raise InvalidInput(f"model={self.model!r}; accepted: a name without '#' and without an address")
        check_dimension(self.dimension)
        posting.check_url("base_url", self.base_url)
        if not isinstance(self.api_key_env, str) or not _VARIABLE.fullmatch(self.api_key_env):
            # Not quoted: it may be the key itself, given in the wrong place.
            raise InvalidInput("api_key_env is not the name of an environment variable, such as 'OPENAI_API_KEY'")
        if not 0 < self.timeout_s < math.inf:
            raise InvalidInput(f"timeout_s={self.timeout_s!r}; accepted: seconds, more than 0")
        check_whole("retries", self.retries, least=0)
        check_whole("batch_size", self.batch_size, least=1)
        if self.window is not None:
            check_whole("window", self.window, least=1)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    @property
    def id(self) -> str:
        """Model and server, such as ``text-embedding-3-small@api.openai.com/v1``; servers may give one name to two."""
        return f"{self.model}@{self.base_url.partition('://')[2]}"

    @property
    def metric(self) -> Metric:
        """Cosine."""
        return "cosine"

    @property
    def spec(self) -> str:
        """``openai:MODEL@BASE_URL#DIMENSION``, then ``,shorten``, ``,window=N``, ``,key=VARIABLE`` if not as usual."""
        parts = [f"openai:{self.model}@{self.base_url}#{self.dimension}"]
        if self.shorten:
            parts.append("shorten")
        if self.window != WINDOW:
            parts.append(f"window={'none' if self.window is None else self.window}")
        if self.api_key_env != API_KEY_ENV:
            parts.append(f"key={self.api_key_env}")
        return ",".join(parts)

    def embed(self, texts: Sequence[str], role: Role) -> Matrix:
        """Return one vector for each text: shape (len(texts), dimension).

        Raises:
            EmbedderError: the server cannot be reached, refuses, or its answer is not what was asked for.
        """
        parts = [self._ask(texts[start : start + self.batch_size]) for start in range(0, len(texts), self.batch_size)]
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *parts])

    def _ask(self, texts: Sequence[str]) -> Matrix:
        # An empty text is refused by OpenAI, a blank one is not.
        question: dict[str, Any] = {"model": self.model, "input": [text or " " for text in texts]}
        if self.shorten:
            question["dimensions"] = self.dimension
        key = self._key()
        body = self._post(json.dumps(question).encode(), key)
        try:
            return _vectors(json.loads(body), len(texts), self.dimension)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self._error(f"its answer cannot be used: {_redacted(str(error), key)}") from None

    def _post(self, body: bytes, key: str | None) -> bytes:
        """Return the body of a good answer."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "kiromi"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        failures = 0
        while True:
            try:
                answer = posting.post(f"{self.base_url}/embeddings", body, headers, timeout_s=self.timeout_s)
            except posting.FAILURES as error:
                # Not chained: what the server sent may be quoted in it.
                problem, retry_after, may_pass = _redacted(f"{type(error).__name__}: {error}", key), None, True
            else:
                if answer.status == 200:
                    return answer.body
                problem, may_pass = self._problem(answer, key), answer.status in _PASSING
                retry_after = answer.headers.get("Retry-After")
            failures += 1
            if not may_pass or failures > self.retries:
                raise self._error(problem if failures == 1 else f"{problem} ({failures} tries)")
            self.sleep(posting.pause_s(failures, retry_after))

    def _key(self) -> str | None:
        key = os.environ.get(self.api_key_env, "").strip()
        if not key.isascii() or not key.isprintable():
            raise self._error(f"the value of {self.api_key_env} is no key: it is not printable ASCII")
        return key or None

    def _problem(self, answer: posting.Answer, key: str | None) -> str:
        """Say what a status other than 200 means."""
        if answer.status in (401, 403):
            # Not quoted: servers like to repeat a part of the key here.
            what = f"refuses the key in {self.api_key_env}" if key else f"wants a key: set {self.api_key_env}"
            return f"it {what} (HTTP {answer.status})"
        if 300 <= answer.status < 400:
            return f"it redirects (HTTP {answer.status}), which is not followed: give the final address as base_url="
        said = _redacted(_message(answer.body), key)
        return f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}"

    def _error(self, problem: str) -> EmbedderError:
        return EmbedderError(f"the embedder {self.id} failed: {problem}", embedder=self.id)


def _vectors(answer: Any, count: int, dimension: int) -> Matrix:
    items = answer["data"]
    if len(items) != count:
        raise ValueError(f"it holds {len(items)} vectors for {count} texts")
    places = [item.get("index", place) for place, item in enumerate(items)]
    if sorted(places) != list(range(count)):
        raise ValueError("its indices are not one for each text")
    vectors = np.empty((count, dimension), dtype=np.float32)
    for place, item in zip(places, items, strict=True):
        vector = np.asarray(item["embedding"])
        if vector.shape != (dimension,) or vector.dtype.kind not in "fi":
            raise ValueError(f"a vector has the shape {vector.shape} of {vector.dtype}, not {dimension} numbers")
        with np.errstate(over="ignore"):  # becomes infinite, which running.embed refuses
            vectors[place] = vector
    return vectors


def _message(body: bytes) -> str:
    """Return what an answer says of an error, in one line."""
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):  # it need not have OpenAI's form
        text = str(json.loads(text)["error"]["message"])
    return " ".join(text.split())


def _redacted(text: str, key: str | None) -> str:
    """Take the key out of a server's text, then cut it short."""
    if key is not None:
        for form in (key, quote(key, safe=""), json.dumps(key)[1:-1]):
            text = text.replace(form, "[key]")
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
