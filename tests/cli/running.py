"""Running the program within the tests: arguments in; exit code, stdout and stderr out."""

import io
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kiromi.cli import main

SCHEME = "user={user}/topic={topic|inbox}"

_ID = re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b")
_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{6})?Z"), "TIME"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"attic/[0-9A-Z]{2}/"), "attic/XX/"),
    (re.compile(r"(?<![\d.])-?\d+\.\d{4}(?![\d.])"), "SCORE"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left behind."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def notes(self) -> str:
        return self.err.decode()

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON error on the last line of stderr."""
        return json.loads(self.err.splitlines()[-1])["error"]

    @property
    def stable(self) -> str:
        """Stdout with ids numbered in the order of their coming, and times, hashes and scores replaced."""
        return stable(self.text)


def stable(text: str) -> str:
    """Return a text with what differs from run to run replaced; the widths of columns stay."""
    ids: dict[str, str] = {}
    text = _ID.sub(lambda match: ids.setdefault(match[0], f"ID{len(ids) + 1:024d}"), text)
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text


class Program:
    """The program on one store."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[bytes], patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._capture = capture
        self._patch = patch

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", code: int = 0) -> Result:
        """Run with ``--store``, and require an exit code."""
        return self.bare("--store", self.root, *arguments, stdin=stdin, code=code)

    def bare(self, *arguments: str | Path, stdin: bytes = b"", code: int = 0) -> Result:
        """Run with these arguments alone, and require an exit code."""
        self._capture.readouterr()
        with self._patch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            found = main([str(argument) for argument in arguments])
        result = Result(found, *self._capture.readouterr())
        assert result.code == code, result
        return result

    def add(self, content: str, *arguments: str) -> str:
        """Store a memory and return its id."""
        return self("--quiet", "add", content, *arguments).text.strip()
