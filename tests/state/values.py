"""From the model's values to the store's, and back; and the small alphabets that histories are made of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

import kiromi
from tests.state.states import Fields, Held

USERS = ("acme", "acme-corp", "ACME")
TOPICS = (None, "t", "%")
KEYS = (None, None, "a", "b", "A")
WORDS = ("seat", "train", "fox")
KINDS = ("explicit", "derived")
FOREIGN = "https://example.org/x"
PAST = datetime(2000, 1, 1, tzinfo=UTC)
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)

texts = st.sampled_from(("", "seat", "train fox", "fox seat seat"))
users = st.sampled_from(USERS)
fields = st.builds(
    Fields,
    text=texts,
    user=users,
    topic=st.sampled_from(TOPICS),
    key=st.sampled_from(KEYS),
    n=st.integers(0, 3),
    is_expired=st.sampled_from((False, False, False, True)),
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "user": users,
        "topic": st.sampled_from(TOPICS),
        "key": st.sampled_from(KEYS),
        "n": st.integers(0, 3),
        "is_expired": st.booleans(),
    },
)
picks = st.integers(0, 1_000)
kinds = st.sampled_from(KINDS)
weights = st.sampled_from((1.0, 2.0))


def record_of(wanted: Fields) -> dict[str, Any]:
    """Return what ``append`` takes."""
    attributes = {"n": wanted.n, "user": wanted.user}
    return {
        "content": wanted.text,
        "partition": {} if wanted.topic is None else {"topic": wanted.topic},
        "attributes": attributes,
        "key": wanted.key,
        "expires_at": PAST if wanted.is_expired else None,
    }


def update_of(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``update`` takes."""
    arguments: dict[str, Any] = {}
    attributes = {name: changed[name] for name in ("user", "topic", "n") if name in changed}
    if attributes:
        arguments["attributes"] = attributes
    if "text" in changed:
        arguments["content"] = changed["text"]
    if "key" in changed:
        arguments["key"] = changed["key"]
    if "is_expired" in changed:
        arguments["expires_at"] = PAST if changed["is_expired"] else None
    return arguments


def facts_of(info: kiromi.MemoryInfo) -> tuple[Any, ...]:
    """Return all that the model knows of a version, but for its content and place."""
    attributes: Any = info.attributes
    by_whom = info.superseded_by
    superseded = None if by_whom is None else (by_whom, info.superseded_at != FUTURE)
    fields = (attributes["user"], attributes.get("topic"), info.key, attributes["n"], info.expires_at is not None)
    return fields, sorted(attributes.keys() - {"user", "topic", "n"}), info.version, info.seq, superseded


def facts_expected(held: Held) -> tuple[Any, ...]:
    """Return what :func:`facts_of` should return."""
    f = held.fields
    superseded = None if held.superseded is None else (held.superseded[0], held.superseded[1] is not None)
    return (f.user, f.topic, f.key, f.n, f.is_expired), [], held.version, held.begin, superseded
