"""From the path of a blob back to what a memory must have had to lie there; pure.

A scheme is inverted field by field: the value that is known already is tried first, then what the text can stand for. A
value counts only if the scheme renders the very path from it. Where no scheme of the store gives the path, one is made
that takes every folder as it is.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from kiromi.attributes import check_name
from kiromi.errors import InvalidInput
from kiromi.partition import BUILT_INS, Scheme, Segment, decode

ASTRAY = "recovered"
"""The scheme, of one fixed folder, of what lies where no path can be understood, or whose place is not known."""
_TIMES = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%Y-%m-%d-%H"}
_ABSENT, _NONE_FITS = object(), object()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a path says of a memory."""

    attributes: Mapping[str, Any]
    """All attributes, those that were known before included."""
    built_ins: Mapping[str, Any]
    """Of ``kind``, ``key``, ``created_at`` and ``event_at`` what the path says."""


def read_path(
    scheme: Scheme, path: str, attributes: Mapping[str, Any], built_ins: Mapping[str, Any], *, fold_case: bool
) -> Reading | None:
    """Return values from which a scheme renders a path, None if none were found.

    Args:
        scheme: whose path it may be.
        path: below ``data/``.
        attributes: what is known of the memory; kept where the path agrees.
        built_ins: likewise; ``id`` is never changed, ``key`` is absent if there is none.
        fold_case: whether the store encodes upper case.
    """
    try:
        texts = scheme.parse_path(path).values
    except InvalidInput:
        return None
    values: dict[str, Any] = {**attributes, **built_ins}
    shadowed = {name: value for name, value in attributes.items() if name in BUILT_INS}
    for field in scheme.fields:
        segments = [(one, texts[one.name]) for one in scheme.segments if one.field == field]
        known = values.get(field, _ABSENT)
        fitting = (one for one in _candidates(field, segments, known) if _fits(field, one, segments))
        value = next(fitting, _NONE_FITS)
        if value is _NONE_FITS:
            return None
        values.pop(field, None)
        if value is not _ABSENT:
            values[field] = value
    try:
        if scheme.render(values, fold_case=fold_case).path != path:
            return None
    except InvalidInput:
        return None
    return Reading(
        {name: value for name, value in {**values, **shadowed}.items() if name not in BUILT_INS or name in shadowed},
        {name: values[name] for name in BUILT_INS if name in values},
    )


def as_it_lies(path: str) -> tuple[str, Mapping[str, str | None]] | None:
    """Return a template that takes every folder of a path as it is, and the attributes that give the path.

    None if a folder's name is not how any value is written.
    """
    segments, attributes = [], dict[str, str | None]()
    try:
        for level, component in enumerate(path.split("/"), 1):
            name, equals, value = component.rpartition("=")
            plain = (decode(name) if equals else None) or ""
            field = plain if plain and plain not in BUILT_INS else f"{plain or 'level'}_{level}"
            attributes[check_name(field)] = decode(value)
            segments.append(f"{plain}={{{field}}}" if equals else f"{{{field}}}")
        template = Scheme.parse("/".join(segments)).template
    except InvalidInput:
        return None
    return template, attributes


def _candidates(field: str, segments: list[tuple[Segment, str | None]], known: Any) -> Iterator[Any]:
    """Yield what a field may have been, the likeliest first; ``_ABSENT`` for a field that was not there."""
    yield known
    if field == "id":
        return
    for segment, text in segments:
        if text is None:
            yield None
            continue
        if field not in ("created_at", "event_at"):
            yield text
        yield from _typed(segment, text)
        if text == segment.default:
            yield _ABSENT


def _typed(segment: Segment, text: str) -> Iterator[Any]:
    transform = segment.transform
    if transform is not None and (transform.name in _TIMES or transform.name == "strftime"):
        with suppress(ValueError):
            moment = datetime.strptime(text, _TIMES.get(transform.name, str(transform.argument)))  # noqa: DTZ007
            yield moment.replace(tzinfo=UTC)
    if segment.field in ("created_at", "event_at"):
        with suppress(ValueError):
            yield datetime.fromisoformat(text)
        return
    with suppress(ValueError):
        yield int(text)
    with suppress(ValueError):
        yield date.fromisoformat(text)


def _fits(field: str, value: Any, segments: list[tuple[Segment, str | None]]) -> bool:
    if field in ("created_at", "event_at") and not isinstance(value, datetime):
        return False
    if field in ("kind", "id") and value is _ABSENT:
        return False
    values = {} if value is _ABSENT else {field: value}
    try:
        return all(segment.text(values) == text for segment, text in segments)
    except InvalidInput:
        return False
