"""The edge where a caller's record becomes a :class:`~kiromi.model.Draft`.

Promises that a draft is whole: every text is well-formed Unicode, every time is aware and in UTC, the partition is
merged into the attributes, and what calls itself text decodes as UTF-8. A refusal is one
:class:`~kiromi.errors.InvalidInput` that names the record, the field, the value and what would be accepted. Leaves the
types of attributes to :mod:`kiromi.attributes`, and defaults that need a clock or a catalog (id, created_at, event_at)
to the store.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from reprlib import Repr
from typing import Annotated, Any, Required, TypeAlias, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from kiromi.attributes import check_attributes, check_scalar
from kiromi.errors import InvalidInput
from kiromi.ids import check_new_id
from kiromi.model import AttributeValue, Draft

MAX_KEY_BYTES = 1_024
MAX_TITLE_CHARS = 10_000
MAX_SHORT_TEXT_CHARS = 64
TIME_FIELDS = ("event_at", "valid_from", "valid_until", "expires_at", "created_at", "updated_at")

_EXTENSIONS = {"text/markdown": "md", "text/plain": "txt", "application/json": "json"}
_MEDIA_TYPES = {"md": "text/markdown", "markdown": "text/markdown", "txt": "text/plain", "json": "application/json"}
_BINARY = "application/octet-stream"
_NAME = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # RFC 6838, section 4.2
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}( *;[\x20-\x7e]{{1,200}})?")

_LONGEST = 1e18  # as kiromi.embed.base has it, which takes long to import
_SET_BY_PARTITION = ("kind", "key", "event_at")
_NOT_IN_PARTITION = ("id", "created_at")
_BUILT_INS = frozenset(_SET_BY_PARTITION + _NOT_IN_PARTITION)

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def _check_media_type(value: str) -> str:
    if _MEDIA_TYPE.fullmatch(value) is None:
        raise ValueError
    return value


def _check_key(value: str) -> str:
    if len(value.encode()) > MAX_KEY_BYTES:
        raise ValueError
    return value


def _in_utc(value: datetime) -> datetime:
    return value if type(value) is datetime and value.tzinfo is UTC else cast(datetime, check_scalar(value, "time"))


def _distinct_tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise ValueError
    for tag in value:
        if not isinstance(tag, str) or not tag:
            raise ValueError
        tag.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return tuple(dict.fromkeys(value))


def check_vector(value: object, what: str = "vector") -> Any:
    """Return a vector as a one-dimensional array of 32-bit floats; ``what`` names it in the message.

    Raises:
        InvalidInput: it is no such thing.
    """
    try:
        found = _as_vector(value)
    except ValueError:
        found = None
    if found is None:
        raise InvalidInput(f"{what}={_shown(value)}: expected {_ACCEPTED['vector']}")
    return found


def _as_vector(value: object) -> Any:
    """Return a vector as 32-bit floats, None for None."""
    if value is None:
        return None
    import numpy as np  # only whoever gives vectors waits for it

    if not isinstance(value, (np.ndarray, Sequence)) or isinstance(value, (str, bytes)):
        raise ValueError
    found = np.asarray(value)
    if found.ndim != 1 or not found.size or found.dtype.kind not in "fiu":
        raise ValueError
    with np.errstate(over="ignore"):
        vector = found.astype(np.float32)
    if not np.linalg.norm(vector.astype(np.float64)) <= _LONGEST:  # not if one number is NaN
        raise ValueError
    return vector


def _check_mapping(value: object) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise ValueError
    return value


_Named: TypeAlias = Annotated[Mapping[str, Any] | None, PlainValidator(_check_mapping)]
_Short: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_SHORT_TEXT_CHARS)]
# -0.0 equals 0.0 wherever rows are compared, and would be another text in the digest of a state.
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), AfterValidator(abs)]
_Moment: TypeAlias = Annotated[AwareDatetime, AfterValidator(_in_utc)]


@with_config(ConfigDict(strict=True, extra="forbid"))
class _Record(TypedDict, total=False):
    """The fields of a record; each has a phrase in ``_ACCEPTED`` that says what it takes."""

    content: Required[Any]
    media_type: Annotated[str, AfterValidator(_check_media_type)] | None
    partition: _Named
    attributes: _Named
    id: Annotated[str, AfterValidator(check_new_id)] | None
    key: Annotated[str, Field(min_length=1), AfterValidator(_check_key)] | None
    namespace: Annotated[str, AfterValidator(_check_key)] | None
    kind: _Short | None
    title: Annotated[str, Field(max_length=MAX_TITLE_CHARS)] | None
    tags: Annotated[tuple[str, ...], PlainValidator(_distinct_tags)]
    language: _Short | None
    importance: _Share | None
    confidence: _Share | None
    event_at: _Moment | None
    valid_from: _Moment | None
    valid_until: _Moment | None
    expires_at: _Moment | None
    created_at: _Moment | None
    updated_at: _Moment | None
    vector: Annotated[Any, PlainValidator(_as_vector)]


_validate = TypeAdapter(_Record).validator.validate_python

_SHORT_TEXT = f"text of 1 to {MAX_SHORT_TEXT_CHARS} characters"
_ACCEPTED = {
    "content": "text without lone surrogates, or bytes",
    "media_type": "a media type such as text/markdown",
    "partition": "a mapping of names to values",
    "attributes": "a mapping of names to values",
    "id": "an upper-case ULID (26 characters of 0-9 A-Z without I L O U, the first at most 7) other than all zeros",
    "key": f"text of 1 to {MAX_KEY_BYTES:,} bytes in UTF-8",
    "namespace": f"text of at most {MAX_KEY_BYTES:,} bytes in UTF-8",
    "kind": _SHORT_TEXT,
    "title": f"text of at most {MAX_TITLE_CHARS:,} characters",
    "tags": "a list of non-empty texts",
    "language": f"a BCP 47 language tag, {_SHORT_TEXT}",
    "importance": "a number from 0 to 1",
    "confidence": "a number from 0 to 1",
    "vector": "a list or one-dimensional array of finite numbers, its Euclidean length at most 1e18",
} | dict.fromkeys(TIME_FIELDS, "a timezone-aware datetime, in UTC within the years 1 to 9999")
FIELDS = tuple(_ACCEPTED)
"""The names that a record may have."""


def parse_record(record: Mapping[str, Any], *, default_kind: str = "episodic", position: int | None = None) -> Draft:
    """Return the draft that a record asks for.

    Only ``content`` is needed; None is the same as leaving a field out. Fields and what they take:

    * ``content``: text or bytes; without ``media_type`` that is ``text/markdown`` or ``application/octet-stream``.
    * ``partition``, ``attributes``: mappings, merged; in ``partition`` the built-ins ``kind``, ``key`` and ``event_at``
      set the field of that name.
    * ``id``, ``key`` (1 to 1,024 bytes), ``namespace`` (at most 1,024 bytes), ``kind`` and ``language`` (1 to 64
      characters), ``title`` (at most 10,000 characters), ``tags`` (non-empty texts; repeated ones are dropped).
    * ``importance``, ``confidence``: 0 to 1.
    * ``event_at``, ``valid_from`` < ``valid_until``, ``expires_at``, ``created_at``, ``updated_at``: aware datetimes.
    * ``vector``: the caller's own vector of the content, finite numbers.

    Args:
        record: the fields by name.
        default_kind: the kind of a record that names none.
        position: where the record stands in its batch; named in errors.

    Raises:
        InvalidInput: a field is unknown, missing or not of its form; a name has two values; content that is called text
            (``text/*`` or ``application/json``) is not UTF-8. ``details`` holds ``field``, ``position`` and ``errors``,
            every refusal found as ``{"field": …, "message": …}``.
    """
    try:
        fields = dict(record)
        partition = fields.get("partition")
        if isinstance(partition, Mapping) and not _BUILT_INS.isdisjoint(partition):
            fields["partition"] = _lift_built_ins(partition, fields)
        return _draft(_validate(fields), default_kind)
    except _Refused as refused:
        raise _invalid([refused.args], position) from refused.__cause__
    except ValidationError as error:
        raise _invalid(_refusals(error), position) from None


def parse_draft(*, default_kind: str = "episodic", **fields: Any) -> Draft:
    """Return the draft that keyword arguments ask for: :func:`parse_record` for a single call.

    Raises:
        InvalidInput: as :func:`parse_record` does.
    """
    return parse_record(fields, default_kind=default_kind)


@lru_cache(maxsize=256)
def extension(media_type: str) -> str:
    """Return the file extension for a media type, without a dot: md, txt, json, else bin; parameters are ignored."""
    return _EXTENSIONS.get(_essence(media_type), "bin")


def media_type_of(extension: str) -> str:
    """Return the media type for a file extension, with or without its dot: the reverse of :func:`extension`.

    ``markdown`` is Markdown too; an unknown extension is ``application/octet-stream``.
    """
    return _MEDIA_TYPES.get(extension.removeprefix(".").lower(), _BINARY)


class _Refused(Exception):
    """A field and the message that refuses it."""


def _draft(fields: dict[str, Any], default_kind: str) -> Draft:
    """Make the draft of checked fields; consumes them."""
    start, end = fields.get("valid_from"), fields.get("valid_until")
    if start is not None and end is not None and start >= end:
        raise _Refused("valid_from", f"valid_from {start} is not before valid_until {end}")
    content, media_type = _content(fields.pop("content"), fields.pop("media_type", None))
    attributes = _merge(fields.pop("attributes", None), fields.pop("partition", None))
    if fields.get("kind") is None:
        fields["kind"] = default_kind
    if fields.get("namespace") is None:
        fields["namespace"] = ""
    return Draft(content, media_type, attributes, **fields)


def _lift_built_ins(partition: Mapping[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Move the built-ins of ``partition`` into ``fields``; return what is left of it."""
    rest = dict(partition)
    for name in _NOT_IN_PARTITION:
        if name in rest:
            raise _Refused("partition", f"partition name {name!r} is a built-in; give {name} as a field of the record")
    for name in _SET_BY_PARTITION:
        if name not in rest:
            continue
        value = rest.pop(name)
        if value is None and name != "key":
            raise _Refused("partition", f"partition value None of {name!r}: expected {_ACCEPTED[name]}")
        given = fields.get(name)
        if given is not None and given != value:
            raise _two_values(name, given, value)
        fields[name] = value
    return rest


def _merge(attributes: Mapping[str, Any] | None, partition: Mapping[str, Any] | None) -> dict[str, AttributeValue]:
    merged = {**(attributes or {}), **(partition or {})}
    try:
        checked = check_attributes(merged)
        if attributes and partition and len(merged) < len(attributes) + len(partition):
            shared = check_attributes({name: attributes[name] for name in attributes.keys() & partition.keys()})
            for name, value in shared.items():
                if (type(value), value) != (type(checked[name]), checked[name]):
                    raise _two_values(name, value, checked[name])
    except InvalidInput as error:
        raise _Refused("attributes", error.message) from error
    return checked


def _two_values(name: str, field: object, partition: object) -> _Refused:
    return _Refused(
        "partition", f"{name!r} has two values: {_shown(field)}, and {_shown(partition)} in the partition; expected one"
    )


def _content(content: object, media_type: str | None) -> tuple[bytes, str]:
    if isinstance(content, str):
        try:
            return content.encode(), media_type or "text/markdown"
        except UnicodeEncodeError as error:
            raise _Refused("content", f"content has a lone surrogate at character {error.start}") from error
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise _Refused("content", _expected("content", content))
    data = bytes(content)
    if media_type is None:
        return data, _BINARY
    essence = _essence(media_type)
    if essence.startswith("text/") or essence == "application/json":
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise _Refused(
                "content",
                f"content is not UTF-8 at byte {error.start}, so it is not {media_type}: "
                f"expected UTF-8, or media_type {_BINARY}",
            ) from error
    return data, media_type


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].rstrip().lower()


def _refusals(error: ValidationError) -> list[tuple[str, str]]:
    found = []
    for item in error.errors(include_url=False, include_context=False):
        # A name that is not valid Unicode has no place in pydantic's report; it must not break printing ours.
        name = str(item["loc"][0] if item["loc"] else item["input"]).encode(errors="backslashreplace").decode()
        if item["type"] == "missing":
            found.append((name, f"{name} is missing: expected {_ACCEPTED[name]}"))
        elif name in _ACCEPTED:
            found.append((name, _expected(name, item["input"])))
        else:
            found.append((name, f"unknown field {_shown(name)}: expected one of {', '.join(FIELDS)}"))
    return found


def _expected(field: str, value: object) -> str:
    return f"{field} {_shown(value)}: expected {_ACCEPTED[field]}"


def _shown(value: object) -> str:
    return _SHORT.repr(value[:80] if isinstance(value, bytes) else value)


def _invalid(refusals: Sequence[tuple[str, ...]], position: int | None) -> InvalidInput:
    field, message = refusals[0]
    prefix = "" if position is None else f"record {position}: "
    errors = [{"field": name, "message": text} for name, text in refusals]
    return InvalidInput(prefix + message, field=field, position=position, errors=errors)
