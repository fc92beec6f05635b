"""Assignments: attributes that are filled from other attributes and built-ins, in the grammar of scheme segments.

``{"topic": "{category:lower|inbox}"}`` makes ``topic`` the lower-case text of ``category``, or ``inbox`` where there is
none. All are computed from the values as they are given, never from one another.
"""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kiromi.attributes import check_name
from kiromi.errors import InvalidInput
from kiromi.partition.scheme import BUILT_INS, Scheme, Segment


@dataclass(frozen=True, slots=True)
class Assignments:
    """Names of attributes, each with the segment that gives its text."""

    segments: tuple[tuple[str, Segment], ...] = ()

    @staticmethod
    def parse(given: Mapping[str, str] | None) -> "Assignments":
        """Return the assignments of a mapping from names to segments.

        Raises:
            InvalidInput: a name is a built-in's or cannot be one, or a value is not one segment without ``name=``.
        """
        if given is not None and not isinstance(given, Mapping):
            raise InvalidInput(f"set={given!r} is not a mapping such as {{'topic': '{{category:lower|inbox}}'}}")
        found = []
        for name, template in (given or {}).items():
            if not isinstance(name, str) or name in BUILT_INS:
                raise InvalidInput(f"set cannot fill {name!r}; accepted: a name that is none of {', '.join(BUILT_INS)}")
            check_name(name)
            segments = Scheme.parse(template).segments
            if len(segments) != 1 or segments[0].hive:
                raise InvalidInput(
                    f"set {name!r}: {template!r} is not one segment; accepted: such as '{{category:lower|inbox}}' or"
                    " a literal",
                    name=name,
                )
            found.append((name, segments[0]))
        return Assignments(tuple(found))

    @property
    def fields(self) -> tuple[str, ...]:
        """What they read."""
        return tuple(dict.fromkeys(segment.field for _, segment in self.segments if segment.field is not None))

    def as_mapping(self) -> dict[str, str]:
        """Return names and canonical segments; :meth:`parse` gives the same assignments back."""
        return {name: str(segment) for name, segment in self.segments}

    def texts(self, values: Mapping[str, object]) -> dict[str, str | None]:
        """Return what is assigned.

        Raises:
            InvalidInput: a field is absent and has no default, or its value does not suit the transform.
        """
        found = {}
        for name, segment in self.segments:
            try:
                found[name] = segment.text(values)
            except InvalidInput as error:
                raise InvalidInput(f"set {name!r}: {error.message}", **error.details) from error
        return found

    def supplied(self, values: Mapping[str, object], names: Collection[str]) -> dict[str, str | None]:
        """Return what is assigned to some names, as far as the values allow it."""
        found = {}
        for name, segment in self.segments:
            if name in names:
                with contextlib.suppress(InvalidInput):
                    found[name] = segment.text(values)
        return found
