"""Embedders as text, for command lines and for a store that is opened without one.

::

    minilm
    hash              hash:512
    caller:384        caller:NAME:384        caller:NAME:384:dot
    openai:MODEL#1536
    openai:MODEL@https://host/v1#1536,shorten,window=512,key=VARIABLE

The names stand for: the model's name, the length of a vector, the server, whether the model is asked for shorter
vectors, tokens per text (or ``none``), and the environment variable with the key. A spec never holds a secret.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from kiromi.embed.base import METRICS, Embedder
from kiromi.embed.given import CallerVectors
from kiromi.embed.hashing import HashingEmbedder
from kiromi.embed.minilm import MiniLM
from kiromi.errors import InvalidInput

_FORMS = "minilm, hash, hash:DIMENSION, caller:NAME:DIMENSION:METRIC, openai:MODEL@BASE_URL#DIMENSION"
_OPENAI = re.compile(r"(?P<model>.+?)(?:@(?P<base_url>https?://[^#]*))?#(?P<dimension>[^,]*)(?:,(?P<options>.*))?")


def make(spec: str) -> Embedder:
    """Return the embedder that a text describes; for a shipped embedder ``e``, ``make(e.spec)`` gives equal vectors.

    Nothing is loaded and no server is asked before the first ``embed``.

    Raises:
        InvalidInput: there is no such embedder, or a part of the text is out of its range.
    """
    name, colon, rest = spec.partition(":")
    maker = _MAKERS.get(name)
    if maker is None or (colon and not rest):
        raise _unknown(spec)
    made = maker(rest)
    if made is None:
        raise _unknown(spec)
    return made


def is_local(spec: str) -> bool:
    """Tell whether an embedder works without asking a server.

    Only such a one is made from what a store says of itself: a store that somebody else made must not be able to send
    texts, or a key, anywhere.
    """
    return spec.partition(":")[0] != "openai"


def _minilm(rest: str) -> Embedder | None:
    return None if rest else MiniLM()


def _hash(rest: str) -> Embedder | None:
    if not rest:
        return HashingEmbedder()
    dimension = _number(rest)
    return None if dimension is None else HashingEmbedder(dimension)


def _caller(rest: str) -> Embedder | None:
    parts = rest.split(":")
    options: dict[str, Any] = {}
    if parts[-1] in METRICS:
        options["metric"] = parts.pop()
    dimension = _number(parts.pop()) if parts else None
    if parts:
        options["name"] = ":".join(parts)
    return None if dimension is None else CallerVectors(dimension, **options)


def _openai(rest: str) -> Embedder | None:
    match = _OPENAI.fullmatch(rest)
    dimension = _number(match["dimension"]) if match else None
    if match is None or dimension is None:
        return None
    options: dict[str, Any] = {} if match["base_url"] is None else {"base_url": match["base_url"]}
    for option in [] if match["options"] is None else match["options"].split(","):
        name, _, value = option.partition("=")
        if option == "shorten":
            options["shorten"] = True
        elif name == "key":
            options["api_key_env"] = value
        elif name == "window" and (value == "none" or _number(value) is not None):
            options["window"] = _number(value)
        else:
            return None
    from kiromi.embed.openai import OpenAIEmbedder  # it loads an HTTP client

    return OpenAIEmbedder(match["model"], dimension=dimension, **options)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _unknown(spec: str) -> InvalidInput:
    # A user name and a password in an address are not repeated.
    shown = re.sub(r"(https?://)[^/#]*@", r"\1…@", spec)
    return InvalidInput(f"{shown!r} is no embedder; accepted: {_FORMS}")


_MAKERS: Final[Mapping[str, Callable[[str], Embedder | None]]] = {
    "minilm": _minilm,
    "hash": _hash,
    "caller": _caller,
    "openai": _openai,
}
