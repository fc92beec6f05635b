"""Random memories with nasty keys, texts, bytes and typed attributes, and what they must come back as."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from kiromi.attributes import encode_attributes
from kiromi.ids import format_id
from kiromi.model import Draft, Memory

NASTY_KEYS = [
    *[
        "a",
        "a/b",
        "a/b.md",
        "A",
        "A/B.md",
        "notes/é.md",
        "notes/e\u0301.md",
        "..",
        "../x.md",
        "/etc/passwd",
        "a//b",
        ".",
    ],
    *[
        "a/./b",
        "C:/x",
        "c:x",
        "a\\b",
        "..\\x",
        ".kiromi.jsonl",
        ".KIROMI.jsonl",
        ".kiromi.jsonl.partial",
        ".hidden/x.md",
    ],
    *[
        "nul\x00",
        "line\nbreak.md",
        "tab\t",
        " ",
        "a ",
        "a.",
        "%2E%2E",
        "x" * 300,
        "x" * 255,
        "名" * 85,
        "😀.bin",
        "-rf",
    ],
    *[
        "a%2Fb%2Emd.00000000000000000000000001.md",
        "00000000000000000000000001.md",
        "con",
        "key: value",
        "a.json",
        "~/x",
    ],
]

texts = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "\x00", "\r", "\r\n", '"', ",", "\ufeff", "---\na: 1\n---\n", "\u2028"])
)
moments = st.datetimes(timezones=st.just(UTC))
scalars = st.one_of(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-(10**9), 10**9, places=3),
    st.booleans(),
    st.dates(),
    moments,
)
names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
attributes = st.dictionaries(names, st.one_of(st.none(), scalars, st.lists(scalars, max_size=3).map(tuple)), max_size=4)
short_texts = st.text(min_size=1, max_size=64)
shares = st.one_of(st.none(), st.floats(0, 1))
contents = st.one_of(st.binary(max_size=40), texts.map(str.encode))
links = st.lists(
    st.fixed_dictionaries({"dst": texts, "kind": texts}, optional={"weight": st.floats(0, 1), "note": st.none()}),
    max_size=2,
)
segments = st.dictionaries(
    st.sampled_from(["user", "topic", "a b", "é"]),
    st.one_of(st.none(), st.sampled_from(["ana", "a/b", "..", "%", "a=b", "é", "e\u0301", " ", "7"])),
    max_size=2,
)


def is_text(data: bytes) -> bool:
    """Return whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@st.composite
def memory(draw: st.DrawFn, number: int) -> Memory:
    """Return a memory whose id is made of ``number``."""
    data = draw(contents)
    kinds = ["application/octet-stream", "image/png"]
    if is_text(data):
        kinds += ["text/markdown", "text/plain", "application/json", "text/html; charset=utf-8"]
    said = draw(st.one_of(st.none(), moments))
    valid = sorted(draw(st.lists(moments, min_size=2, max_size=2, unique=True)))
    return Memory(
        id=format_id(number),
        version=draw(st.integers(1, 3)),
        seq=number,
        partition=draw(segments),
        path="data/x",
        scheme=1,
        key=draw(st.one_of(st.none(), st.sampled_from(NASTY_KEYS), st.text(min_size=1, max_size=20))),
        namespace=draw(texts),
        kind=draw(short_texts),
        title=draw(st.one_of(st.none(), texts)),
        tags=tuple(draw(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=3))),
        attributes=draw(attributes),
        language=draw(st.one_of(st.none(), short_texts)),
        importance=draw(shares),
        confidence=draw(shares),
        event_at=draw(moments),
        valid_from=draw(st.sampled_from([None, valid[0]])),
        valid_until=draw(st.sampled_from([None, valid[1]])),
        expires_at=draw(st.one_of(st.none(), moments)),
        created_at=draw(moments),
        updated_at=draw(moments),
        run_id=None,
        superseded_by=None if said is None else format_id(number + 100),
        superseded_at=said,
        media_type=draw(st.sampled_from(kinds)),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        data=data,
    )


@st.composite
def memories(draw: st.DrawFn) -> list[Memory]:
    """Return a few memories with different ids."""
    return [draw(memory(number)) for number in range(1, draw(st.integers(0, 4)) + 1)]


def simple(data: bytes | str = b"hello", number: int = 1, **fields: Any) -> Memory:
    """Return a plain memory but for the fields given."""
    content = data.encode() if isinstance(data, str) else data
    at = datetime(2026, 1, 1, tzinfo=UTC)
    plain: dict[str, Any] = {
        "id": format_id(number),
        "version": 1,
        "seq": number,
        "partition": {},
        "path": "data/x",
        "scheme": 1,
        "key": None,
        "namespace": "",
        "kind": "episodic",
        "title": None,
        "tags": (),
        "attributes": {},
        "language": None,
        "importance": None,
        "confidence": None,
        "event_at": at,
        "valid_from": None,
        "valid_until": None,
        "expires_at": None,
        "created_at": at,
        "updated_at": at,
        "run_id": None,
        "superseded_by": None,
        "superseded_at": None,
        "media_type": "text/markdown",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return Memory(**{**plain, **fields}, data=content)


def facts(source: Draft | Memory) -> dict[str, Any]:
    """Return all that a caller gave; attributes as text, because 1 == 1.0 == Decimal("1.00")."""
    content = source.data if isinstance(source, Memory) else source.content
    fields = (
        *("id", "key", "namespace", "kind", "title", "tags", "language", "importance", "confidence", "event_at"),
        *("valid_from", "valid_until", "expires_at", "created_at", "updated_at", "media_type"),
    )
    plain = {name: getattr(source, name) for name in fields}
    return {**plain, "content": content, "attributes": encode_attributes(source.attributes)}
