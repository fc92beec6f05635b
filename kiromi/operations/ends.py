"""The ends of links as URIs: memories, partitions, and what lies outside the store.

``kiromi://memory/<id>`` (a plain id is short for it), ``kiromi://partition/<path>`` with a path, or the upper part of
one, as it lies below ``data/``, and any other absolute URI (RFC 3986, section 3), which is kept as it is. Here is
also the wall for them: a scoped handle sees the memories and the whole partitions within its scope.
"""

import re
from collections.abc import Mapping
from typing import Any

from kiromi.errors import InvalidInput
from kiromi.ids import check_id
from kiromi.operations.caller import Caller, check_text
from kiromi.operations.within import is_same_segment
from kiromi.partition import Scheme
from kiromi.session.session import Session

MEMORY = "kiromi://memory/"
PARTITION = "kiromi://partition/"
MAX_URI_CHARS = 2_048
_FOREIGN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\x7f]+")


def memory_uri(memory_id: str) -> str:
    """Return the URI of a memory."""
    return MEMORY + memory_id


def memory_of(uri: str) -> str | None:
    """Return the id of the memory that a URI names, None if it names something else."""
    return uri.removeprefix(MEMORY) if uri.startswith(MEMORY) else None


def is_foreign(uri: str) -> bool:
    """Tell whether a URI names something outside the store."""
    return not uri.startswith((MEMORY, PARTITION))


def parse_end(session: Session, value: Any, what: str) -> str:
    """Return the URI of an end: an id, or a URI; ``what`` names it in the message.

    Whether such a memory is there, and may be seen, is for the caller to find out.

    Raises:
        InvalidInput: it is neither, or a partition path that no scheme of the store makes.
    """
    text = check_text(value, what)
    if ":" not in text:
        return memory_uri(check_id(text))
    if text.startswith(MEMORY):
        return memory_uri(check_id(text.removeprefix(MEMORY)))
    if text.startswith(PARTITION):
        return PARTITION + _partition(session, text.removeprefix(PARTITION))
    if text.lower().startswith("kiromi:"):
        raise InvalidInput(f"{what}={text!r}; accepted of kiromi: {MEMORY}<id> and {PARTITION}<path>")
    if len(text) > MAX_URI_CHARS or _FOREIGN.fullmatch(text) is None:
        raise InvalidInput(
            f"{what}={text[:80]!r} is neither an id nor a URI of at most {MAX_URI_CHARS:,} characters without spaces"
        )
    return text


def is_partition_visible(caller: Caller, uri: str) -> bool:
    """Tell whether a partition, all of it, lies within the caller's scope."""
    path = uri.removeprefix(PARTITION)
    readings = [values for scheme in caller.session.schemes.values() if (values := _read(scheme, path)) is not None]
    # A path may be one of several schemes: it is within only if it is however it is read.
    return not caller.scope.wanted or (bool(readings) and all(_is_within(caller, *reading) for reading in readings))


def _is_within(caller: Caller, scheme: Scheme, values: Mapping[str, str | None]) -> bool:
    for segment, text in caller.scope.wanted:
        own = scheme.segment(segment.name)
        if own is None or not is_same_segment(own, segment) or own.name not in values or values[own.name] != text:
            return False
    return True


def _partition(session: Session, path: str) -> str:
    """Return a partition path as this store writes it."""
    for scheme in session.schemes.values():
        if _read(scheme, path) is not None:
            components = zip(scheme.segments, path.split("/"), strict=False)
            return "/".join(
                segment.component(segment.parse(component), session.meta.fold_case) for segment, component in components
            )
    raise InvalidInput(f"{path!r} is no path, nor the upper part of one, of any scheme of this store", path=path)


def _read(scheme: Scheme, path: str) -> tuple[Scheme, Mapping[str, str | None]] | None:
    """Return a scheme with the values of a path, or of the upper part of one; None if it is not of that scheme."""
    segments = scheme.segments[: path.count("/") + 1]
    try:
        return scheme, Scheme(scheme.template, segments).parse_path(path).values
    except InvalidInput:
        return None
