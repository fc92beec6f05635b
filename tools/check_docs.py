"""Checks the documentation against the tree: links and files named, docstrings of public names, Python examples.

Reads ``README.md`` and ``docs/**/*.md``. It promises that every relative link and every file named in backticks
exists, that what ``kiromi.__all__`` exports is documented, and that Python examples compile. Whether examples and
commands do what the text says is left to the tests.
"""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_FENCE = re.compile(r"^\s*(?P<mark>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|^\s*\[[^\]]+\]:\s+<?([^\s>]+)")
_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
# Only what begins with one of our folders is taken for a file of ours; docs also show paths inside stores.
_OWN_FILE = re.compile(r"(?:\.ci|docs|kiromi|tests|tools)/[\w./-]*")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block."""

    line: int
    """Where its first line of code is, from 1."""
    language: str
    code: str


def check_pages(root: Path) -> list[str]:
    """Return the problems of the Markdown pages of the tree at ``root``, one line each."""
    problems = []
    for page in [root / "README.md", *sorted(root.glob("docs/**/*.md"))]:
        name = page.relative_to(root).as_posix()
        if not page.is_file():
            problems.append(f"{name}: is missing")
            continue
        prose, blocks = split_page(page.read_text(encoding="utf-8"))
        problems += [f"{name}:{line}: {problem}" for line, problem in _reference_problems(page, root, prose)]
        problems += [f"{name}:{line}: {problem}" for line, problem in _example_problems(blocks)]
    return problems


def split_page(text: str) -> tuple[list[str], list[Block]]:
    """Return the lines of a Markdown page with fenced blocks left blank, and those blocks."""
    prose: list[str] = []
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    code: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None:
            prose.append("" if fence else line)
            opened, code = fence, []
        elif fence and fence["mark"].startswith(opened["mark"]) and line.strip() == fence["mark"]:
            prose.append("")
            blocks.append(Block(number - len(code), opened["language"], textwrap.dedent("\n".join(code))))
            opened = None
        else:
            prose.append("")
            code.append(line)
    return prose, blocks


def _reference_problems(page: Path, root: Path, prose: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(prose, start=1):
        for match in _LINK.finditer(_CODE_SPAN.sub("", line)):
            target = match[1] or match[2]
            path = target.partition("#")[0]
            if path and not _HAS_SCHEME.match(target) and not (page.parent / path).exists():
                yield number, f"link to {target}, which does not exist"
        for span in _CODE_SPAN.findall(line):
            if _OWN_FILE.fullmatch(span) and not (root / span).exists():
                yield number, f"names `{span}`, which does not exist"


def _example_problems(blocks: list[Block]) -> Iterator[tuple[int, str]]:
    for block in blocks:
        if block.language == "python":
            try:
                compile(block.code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            except SyntaxError as error:
                yield block.line + (error.lineno or 1) - 1, f"Python example does not compile: {error.msg}"


def check_docstrings(package: str) -> list[str]:
    """Return one line for each public name of ``package`` that has no docstring.

    Public are the classes and functions in ``__all__``, and the methods and properties without a leading underscore
    that those classes have from ``package``. A method may have its docstring from a base class.
    """
    module = importlib.import_module(package)
    if not getattr(module, "__all__", None):
        return [f"{package}: has no __all__"]
    problems = []
    for name in module.__all__:
        value = getattr(module, name, None)
        if inspect.isclass(value):
            if not _is_documented(value):
                problems.append(f"{package}.{name}: has no docstring")
            problems += [f"{package}.{name}.{member}: has no docstring" for member in _bare_members(value, package)]
        elif inspect.isfunction(value) and not value.__doc__:
            problems.append(f"{package}.{name}: has no docstring")
    return problems


def _is_documented(cls: type[Any]) -> bool:
    # A dataclass or named tuple without docstring is given its signature for one.
    return bool(cls.__doc__) and not str(cls.__doc__).startswith(f"{cls.__name__}(")


def _bare_members(cls: type[Any], package: str) -> Iterator[str]:
    for name in dir(cls):
        versions = [vars(base)[name] for base in cls.__mro__ if name in vars(base) and _is_from(base, package)]
        methods = [value for value in versions if _is_method(value)]
        if methods and not name.startswith("_") and not any(value.__doc__ for value in methods):
            yield name


def _is_from(cls: type[Any], package: str) -> bool:
    return cls.__module__ == package or cls.__module__.startswith(f"{package}.")


def _is_method(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, classmethod | staticmethod | property | cached_property)


def main() -> int:
    """Print every problem and return 1, or return 0 if there is none."""
    sys.path.insert(0, str(ROOT))
    problems = check_pages(ROOT) + check_docstrings("kiromi")
    for problem in problems:
        print(problem)
    print(f"docs: {len(problems)} problems" if problems else "docs: no problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
