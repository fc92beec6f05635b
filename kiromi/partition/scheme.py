"""Schemes: a template such as ``user={user}/topic={topic|inbox}`` parsed once, then rendered for every memory.

Promises: rendering is a function of the values alone; ``parse_path(render(values).path)`` gives the same texts back; a
path has exactly one component per segment, so two partitions are equal only segment by segment. Grammar::

    scheme   = segment *( "/" segment )                                    at most 16 segments
    segment  = [ name "=" ] "{" field [ ":" transform ] [ "|" default ] "}"   /   literal

Which values a memory has (attributes and built-ins), and where its tenant's tree lies, is left to the caller.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kiromi.errors import InvalidInput
from kiromi.partition.encoding import check_name, decode, encode, encode_component
from kiromi.partition.transforms import Transform, identity_text

BUILT_INS = ("id", "key", "kind", "created_at", "event_at")
"""Fields that every memory has beside its attributes (``key`` only if it was given one)."""
MAX_SEGMENTS = 16
PATH_BYTES = 1_024 - 80
"""The longest partition path in UTF-8 bytes: an object key has 1,024; 80 stay for ``data/`` and the file's name.
The root's own prefix and the tenant's folder are not counted: a store that lies deep has less room."""

_SEGMENT = re.compile(
    r"""(?:(?P<name>[^{}=/]*)(?P<hive>=))?
        \{(?P<field>[^{}:|]*)(?::(?P<transform>[^}|]*))?(?:\|(?P<default>[^}]*))?\}
        |(?P<literal>[^{}/]+)""",
    re.VERBOSE,
)
_NOT_IN_NAMES = re.compile(r"[{}:|=/\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Partition:
    """The values that fill a scheme, and the path that they make."""

    values: Mapping[str, str | None]
    """Segment names to unencoded texts; None where the path has the hive default. Literals are not among them."""
    path: str
    """Such as ``user=ana/topic=travel``; no slash at either end."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One level of a scheme: a field's value, or a literal."""

    name: str
    """Left of ``=``, else the field; empty for a literal."""
    field: str | None
    """The attribute or built-in that fills it; None for a literal."""
    hive: bool = False
    """Whether ``name=`` is written in the path."""
    transform: Transform | None = None
    default: str | None = None
    """The text for memories that lack the field; None if they are refused."""
    literal: str | None = None

    def __str__(self) -> str:
        """Return the canonical text for a template."""
        if self.literal is not None:
            return self.literal
        transform = f":{self.transform}" if self.transform else ""
        default = "" if self.default is None else f"|{self.default}"
        return f"{self.name + '=' if self.hive else ''}{{{self.field}{transform}{default}}}"

    def text(self, values: Mapping[str, object]) -> str | None:
        """Return the unencoded text for a memory with these values; None stands for the hive default.

        Raises:
            InvalidInput: the field is absent and there is no default, or its value does not suit the transform.
        """
        if self.field is None:
            return self.literal
        if self.field not in values:
            if self.default is None:
                given = ", ".join(map(repr, values)) or "nothing"
                raise InvalidInput(
                    f"field {self.field!r} is absent and has no default; given: {given}", field=self.field
                )
            return self.default
        value = values[self.field]
        if value is None:
            return None
        if self.transform is not None:
            return self.transform.apply(value, self.field)
        return value if type(value) is str else identity_text(value, self.field)

    def component(self, text: str | None, fold_case: bool) -> str:
        """Return the path component for a text of this segment.

        Raises:
            InvalidInput: the text cannot be one (see ``encode``).
        """
        return encode_component(self.name if self.hive else "", text, fold_case)

    def parse(self, component: str) -> str | None:
        """Return the text whose component this is.

        Raises:
            InvalidInput: it is not of this segment.
        """
        name, equals, value = component.rpartition("=")
        if bool(equals) != self.hive or (self.hive and decode(name) != self.name):
            raise InvalidInput(f"path component {component!r} is not of the segment {str(self)!r}", component=component)
        text = decode(value)
        if self.literal is not None and text != self.literal:
            raise InvalidInput(f"path component {component!r} is not the literal {self.literal!r}", component=component)
        return text


@dataclass(frozen=True, slots=True)
class Scheme:
    """A partition template; equal if the canonical templates are."""

    template: str
    """The canonical text: parsing it gives this scheme."""
    segments: tuple[Segment, ...]

    @staticmethod
    def parse(template: str) -> "Scheme":
        """Return the scheme of a template.

        Raises:
            InvalidInput: it does not follow the grammar, has over 16 segments, or two segments could be taken for one
                another; the message names the segment and where it begins.
        """
        if not isinstance(template, str) or not template:
            raise InvalidInput(f"scheme {template!r} is not a template such as 'user={{user}}/topic={{topic|inbox}}'")
        segments: list[Segment] = []
        start = 0
        while start <= len(template):
            try:
                segment, end = _parse_segment(template, start)
                _check_distinct(segment, segments)
            except InvalidInput as error:
                where = f"scheme {template!r}, segment {len(segments) + 1} at position {start}"
                raise InvalidInput(f"{where}: {error.message}", template=template, position=start) from error
            segments.append(segment)
            start = end + 1
        return Scheme("/".join(map(str, segments)), tuple(segments))

    @property
    def fields(self) -> tuple[str, ...]:
        """The attributes and built-ins that the scheme reads, each once, in the order of the segments."""
        return tuple(dict.fromkeys(segment.field for segment in self.segments if segment.field is not None))

    def segment(self, name: str) -> Segment | None:
        """Return the segment of that name, or None."""
        return next((segment for segment in self.segments if segment.name == name and segment.field is not None), None)

    def render(self, values: Mapping[str, object], *, fold_case: bool = False) -> Partition:
        """Return the partition of a memory.

        Args:
            values: its attributes and built-ins; more than the scheme reads do no harm.
            fold_case: encode for a filesystem that ignores case.

        Raises:
            InvalidInput: a field without default is absent, a value does not suit its transform or cannot be a path
                component, or the path is over 944 bytes.
        """
        texts: dict[str, str | None] = {}
        components = []
        for segment in self.segments:
            try:
                text = segment.text(values)
                components.append(segment.component(text, fold_case))
            except InvalidInput as error:
                where = f"scheme {self.template!r}, segment {str(segment)!r}"
                raise InvalidInput(f"{where}: {error.message}", **error.details) from error
            if segment.field is not None:
                texts[segment.name] = text
        return Partition(texts, _joined(components))

    def parse_path(self, path: str) -> Partition:
        """Return the partition whose path this is: the inverse of :meth:`render`, with ``fold_case`` or without.

        Raises:
            InvalidInput: no values make this path.
        """
        components = path.split("/")
        if len(components) != len(self.segments):
            raise InvalidInput(
                f"path {path!r} has {len(components)} components; scheme {self.template!r} has {len(self.segments)}",
                path=path,
                template=self.template,
            )
        read = [(segment, segment.parse(part)) for segment, part in zip(self.segments, components, strict=True)]
        for fold_case in (False, True):
            if components == [segment.component(text, fold_case) for segment, text in read]:
                texts = {segment.name: text for segment, text in read if segment.field is not None}
                return Partition(texts, _joined(components))
        raise InvalidInput(f"path {path!r} encodes upper case in one place and not in another", path=path)


def _joined(components: list[str]) -> str:
    path = "/".join(components)
    # A character has at most 4 bytes, so most paths need no counting.
    if len(path) * 4 > PATH_BYTES and (size := len(path.encode())) > PATH_BYTES:
        raise InvalidInput(
            f"partition path {path[:60]!r}… has {size} bytes; at most {PATH_BYTES} are possible", size_bytes=size
        )
    return path


def _parse_segment(template: str, start: int) -> tuple[Segment, int]:
    """Return the segment that begins at ``start``, and where it ends."""
    match = _SEGMENT.match(template, start)
    end = match.end() if match else start
    if match is None or template[end : end + 1] not in ("", "/"):
        rest = template[start:].split("/")[0]
        raise InvalidInput(f"{rest!r} is not a segment; expected name={{field:transform|default}} or a literal")
    if match["literal"] is not None:
        return _literal(match["literal"]), end
    field = _check_field(match["field"], "field")
    transform = None if match["transform"] is None else Transform.parse(match["transform"])
    name = _check_field(match["name"], "segment name") if match["hive"] else field
    segment = Segment(name, field, bool(match["hive"]), transform, match["default"])
    # What every path of the segment needs must be possible, or no memory could ever be stored.
    segment.component("-" if segment.default is None else segment.default, False)
    return segment, end


def _literal(text: str) -> Segment:
    if encode(text) != text:
        raise InvalidInput(
            f"literal {text!r} would have to be written {encode(text)!r}; choose one that needs no escapes"
        )
    return Segment("", None, literal=text)


def _check_field(name: str, what: str) -> str:
    found = _NOT_IN_NAMES.search(name)
    if found:
        raise InvalidInput(f"{what} {name!r} holds {found[0]!r}; expected a name without {{ }} : | = / and controls")
    return check_name(name, what)


def _check_distinct(segment: Segment, earlier: list[Segment]) -> None:
    if len(earlier) == MAX_SEGMENTS:
        raise InvalidInput(f"there are more than {MAX_SEGMENTS} segments")
    if segment.field is None:
        return
    for other in earlier:
        # DuckDB's columns ignore case, so names that differ only in case are one name for readers.
        if other.name.casefold() == segment.name.casefold():
            raise InvalidInput(
                f"the name {segment.name!r} is taken by segment {str(other)!r}; name it with another name="
            )
        for one, two in ((segment, other), (other, segment)):
            if one.name == two.field != one.field:
                raise InvalidInput(f"the name {one.name!r} is ambiguous: it is also the field of segment {str(two)!r}")
