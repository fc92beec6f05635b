"""Options that go together: a frozen dataclass with a field for each, which a command takes as one parameter.

Typer reads flat signatures; so the fields become parameters for it, and one value again for the command.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def groups_among(parameters: Iterable[inspect.Parameter]) -> Mapping[str, type[Any]]:
    """Return those parameters of a command that are groups, by name."""
    named = ((parameter.name, parameter.annotation) for parameter in parameters)
    return {name: kind for name, kind in named if isinstance(kind, type) and is_dataclass(kind)}


def parameters_of(group: type[Any]) -> Iterator[inspect.Parameter]:
    """Yield the fields of a group as parameters; each has a default and is annotated as typer wants it."""
    annotations = inspect.get_annotations(group)
    for field in fields(group):
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotations[field.name]
        )


def take(group: type[T], arguments: dict[str, Any]) -> T:
    """Take a group's fields out of a call's arguments; what is not among them keeps its default."""
    names = [parameter.name for parameter in parameters_of(group)]
    return group(**{name: arguments.pop(name) for name in names if name in arguments})
