"""The public surface: one flat sorted list, loaded name by name when used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kiromi


def test_the_public_names_are_sorted_and_there() -> None:
    assert kiromi.__all__ == sorted(kiromi.__all__)
    for name in kiromi.__all__:
        assert getattr(kiromi, name).__name__ == name
    assert set(kiromi.__all__) <= set(dir(kiromi))


def test_what_type_checkers_see_is_what_is_there() -> None:
    tree = ast.parse(Path(str(kiromi.__file__)).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    assert sorted(alias.asname or alias.name for node in imports for alias in node.names) == kiromi.__all__


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="'kiromi' has no attribute 'nothing'"):
        getattr(kiromi, "nothing")  # noqa: B009 - mypy would refuse the plain form


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, kiromi; sys.exit(str({'duckdb', 'pyarrow', 'numpy', 'pydantic'} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert done.stderr.strip() == b""
