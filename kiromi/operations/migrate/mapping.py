"""Mapping: from a memory as it is to where a scheme puts it, and to the attributes that it gets on the way.

Three sources, each over the one before: what the memory has, ``set`` templates, and a mapper of the caller's own. What
they yield becomes attributes, so a path stays what the scheme renders from the row.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, get_type_hints

import pyarrow as pa

from kiromi.attributes import check_attributes, decode_attributes, encode_attributes
from kiromi.catalog.rows import Row
from kiromi.errors import InvalidInput
from kiromi.model import Memory, MemoryInfo
from kiromi.operations.within import row_values
from kiromi.partition import BUILT_INS, Assignments, Scheme
from kiromi.times import from_micros

Mapper: TypeAlias = Callable[[Any], Mapping[str, Any] | None]
"""From a :class:`MemoryInfo` (or :class:`Memory`, if its parameter is annotated so) to attributes to set: None
removes one, as in ``update``."""
_CACHE = 50_000


class Place(NamedTuple):
    """Where a memory goes."""

    partition: str
    attributes: str | None
    """What they become, as canonical text; None if they stay."""


@dataclass(slots=True)
class Rule:
    """What decides where memories go. Not to be shared between threads: it remembers what it worked out last."""

    scheme: Scheme
    sets: Assignments
    fold_case: bool
    _known: dict[tuple[Any, ...], Place | str] = field(default_factory=dict)

    def places(self, table: pa.Table, mapped: Mapping[str, Mapping[str, Any] | str]) -> list[Place | str]:
        """Return for each row where it goes, or why it cannot be mapped.

        Args:
            table: live rows, with the columns of ``ROW_SCHEMA`` and times as integers.
            mapped: what a mapper gave for some ids, checked; or why it gave nothing.
        """
        read = frozenset((*self.scheme.fields, *self.sets.fields)).intersection(BUILT_INS)
        names = [name for name in BUILT_INS if name in read]
        columns = [table.column(name).to_pylist() for name in names]
        ids = table.column("id").to_pylist() if mapped else None
        found: list[Place | str] = []
        known = self._known
        if len(known) > _CACHE:
            known.clear()
        for i, (text, *built_ins) in enumerate(zip(table.column("attributes").to_pylist(), *columns, strict=True)):
            given = mapped.get(ids[i]) if ids is not None else None
            if given is not None:
                found.append(given if isinstance(given, str) else self._place(text, names, built_ins, given))
                continue
            key = (text, *built_ins)
            place = known.get(key)
            if place is None:
                place = known[key] = self._place(text, names, built_ins, {})
            found.append(place)
        return found

    def place(self, row: Row, given: Mapping[str, Any]) -> Place | str:
        """Return where one row goes, or why it cannot be mapped; ``given`` are attributes over those of ``set``."""
        values = row_values(row)
        names = [name for name in BUILT_INS if name in values]
        return self._place(row.attributes, names, [getattr(row, name) for name in names], given)

    def filled(self, row: Row) -> dict[str, Any]:
        """Return the attributes of a row with those of ``set``; without them, where they cannot be made."""
        attributes: dict[str, Any] = decode_attributes(row.attributes)
        try:
            return attributes | self.sets.texts(row_values(row))
        except InvalidInput:
            return attributes

    def _place(self, text: str, names: list[str], built_ins: list[Any], given: Mapping[str, Any]) -> Place | str:
        """Return where a memory goes.

        Args:
            text: its attributes.
            names: those built-ins that are read.
            built_ins: the value of each; None where the memory has no key.
            given: what a mapper gave.
        """
        attributes: dict[str, Any] = decode_attributes(text)
        own = {
            name: from_micros(value) if name in ("created_at", "event_at") else value
            for name, value in zip(names, built_ins, strict=True)
            if value is not None
        }
        # A built-in hides an attribute of its name, also where the memory has no key.
        values = {name: value for name, value in attributes.items() if name not in names} | own
        changed = text
        try:
            if self.sets.segments or given:
                attributes = merged(attributes | self.sets.texts(values), given)
                changed = encode_attributes(attributes)
                values = {name: value for name, value in attributes.items() if name not in names} | own
            path = self.scheme.render(values, fold_case=self.fold_case).path
        except InvalidInput as error:
            return error.message
        return Place(path, None if changed == text else changed)


def merged(attributes: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes with others over them, of which None removes one."""
    removed = {name for name, value in given.items() if value is None}
    return {name: value for name, value in {**attributes, **given}.items() if name not in removed}


def added(before: str, after: str) -> dict[str, Any]:
    """Return what was set on the way from one text of attributes to another; None where one was removed."""
    old, new = decode_attributes(before), decode_attributes(after)
    fresh: dict[str, Any] = {name: value for name, value in new.items() if not _is_same(old, name, value)}
    return fresh | {name: None for name in old if name not in new}


def _is_same(attributes: Mapping[str, Any], name: str, value: Any) -> bool:
    # With their types: 1, 1.0 and True are equal, and different values.
    return name in attributes and encode_attributes({name: attributes[name]}) == encode_attributes({name: value})


# -- mappers -----------------------------------------------------------------------------------------------------------


def apply_mapper(mapper: Mapper, memory: MemoryInfo) -> Mapping[str, Any] | str:
    """Return what a mapper gives for a memory, checked as attributes are; or why that cannot be taken."""
    given: Any
    try:
        given = mapper(memory)
    except Exception as error:  # noqa: BLE001 - whatever the caller's code raises is told for this memory
        return f"the mapper raised {type(error).__name__}: {error}"
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        return f"the mapper returned a {type(given).__name__}; accepted: a mapping of attributes to set, or None"
    built_ins = [name for name in given if name in BUILT_INS]
    if built_ins:
        return f"the mapper sets {built_ins[0]!r}, which is no attribute"
    try:
        return check_attributes(given)
    except InvalidInput as error:
        return f"the mapper returned what cannot be stored: {error.message}"


def wants_content(mapper: Mapper) -> bool:
    """Tell whether a mapper's first parameter is annotated as :class:`Memory`, so that it gets the content too."""
    try:
        first = next(iter(inspect.signature(mapper).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    if first is None:
        return False
    try:
        annotation = get_type_hints(mapper).get(first.name, first.annotation)
    except Exception:  # noqa: BLE001 - an annotation may name what is not there at run time
        annotation = first.annotation
    return annotation is Memory or annotation in ("Memory", "kiromi.Memory")


def reference_of(mapper: Any) -> str | None:
    """Return ``module:function`` for a mapper, by which a plan names it."""
    if mapper is not None and not callable(mapper):
        raise InvalidInput(f"mapper={mapper!r} cannot be called; accepted: a function of a MemoryInfo or Memory")
    if mapper is None:
        return None
    name = getattr(mapper, "__qualname__", type(mapper).__qualname__)
    return f"{getattr(mapper, '__module__', type(mapper).__module__)}:{name}"


def digest_of(mapper: Mapper) -> str | None:
    """Return the SHA-256 (hex) of the text of a mapper and of its module, where helpers of it lie; None without text.

    What was edited between plan and run gives other targets under the same name.
    """
    source = mapper if inspect.isroutine(mapper) or inspect.isclass(mapper) else type(mapper)
    module = inspect.getmodule(source)
    if module is None:
        return None
    try:
        text = inspect.getsource(module) + "\0" + inspect.getsource(source)
    except (OSError, TypeError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def load_mapper(reference: str) -> Mapper:
    """Return the function that ``module:function`` names.

    Raises:
        InvalidInput: there is none.
    """
    module, colon, name = reference.partition(":")
    if not colon or not module or not name or "<" in name:
        raise InvalidInput(f"mapper {reference!r} is not module:function; give the function itself")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # what the caller's module raises when it is imported may be anything
        raise InvalidInput(
            f"mapper {reference!r} cannot be loaded: {type(error).__name__}: {error}", mapper=reference
        ) from error
    if not callable(found):
        raise InvalidInput(f"mapper {reference!r} is a {type(found).__name__} and cannot be called")
    mapper: Mapper = found
    return mapper
