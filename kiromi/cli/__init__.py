"""The ``kiromi`` program: one module per command group, and :func:`main`.

Promises the exit codes of :mod:`kiromi.cli.exits`; one JSON document on stdout with ``--json``; nothing on stdout but
what was asked for; and a quick start: what is heavy is imported by the command that needs it. It holds no logic of the
store: a command reads its arguments, calls :class:`kiromi.Store` and shows the answer.
"""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    Args:
        arguments: what follows the program's name; None takes them from the command line.
    """
    from kiromi.cli.program import run

    return run(sys.argv[1:] if arguments is None else list(arguments))
