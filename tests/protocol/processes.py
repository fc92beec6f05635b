"""Other processes for the tests: Python code in an interpreter of its own, which says words and waits for them."""

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_HEAD = """
import sys
import kiromi
from tests.protocol.expected import SCHEME

def say(word):
    print(word, flush=True)

def hear():
    return sys.stdin.readline().strip()

root = sys.argv[1]
"""


class Process:
    """A running child."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def hear(self) -> str:
        """Wait for the next line that the child says."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def say(self, word: str = "go") -> None:
        """Give the child a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Wait for its end; return its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(60)


@contextlib.contextmanager
def python(code: str, root: Path) -> Iterator[Process]:
    """Run code with ``root``, ``say`` and ``hear`` at hand; it is killed when the block ends, if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", _HEAD + textwrap.dedent(code), str(root)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Process(process)
        finally:
            process.kill()
