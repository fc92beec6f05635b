"""The documentation check: each of its rules finds what it is for, and nothing else."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tools.check_docs import check_docstrings, check_pages

Tree = Callable[[str], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    def make(readme: str) -> Path:
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "page.md").write_text("[up](../README.md)\n")
        (tmp_path / "README.md").write_text(readme)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        ("ok\n[a](docs/none.md#x)", "README.md:2: link to docs/none.md#x, which does not exist"),
        ("[a]\n\n[a]: docs/none.md", "README.md:3: link to docs/none.md, which does not exist"),
        ("![a](picture.png)", "README.md:1: link to picture.png, which does not exist"),
        ("see `tools/none.py`", "README.md:1: names `tools/none.py`, which does not exist"),
        ("x\n```python\na = 1\nb =\n```", "README.md:4: Python example does not compile: invalid syntax"),
    ],
)
def test_broken_page_is_reported_with_its_line(tree: Tree, readme: str, expected: str) -> None:
    assert check_pages(tree(readme)) == [expected]


@pytest.mark.parametrize(
    "readme",
    [
        "[a](docs/page.md#part) [b](https://example.org/x) [c](#part) [d](mailto:a@example.org)",
        "`docs/page.md` in `docs/`, and `data/user=ada/x.md` in a store; `[a](none.md)`",
        "```\n[a](none.md) `tools/none.py`\n```",
        "````python\ntext = '''\n```\n'''\n````",
        "- item\n  ```python\n  await f()\n  ```",
        "```console\n$ not python\n```",
    ],
)
def test_sound_page_passes(tree: Tree, readme: str) -> None:
    assert check_pages(tree(readme)) == []


def test_missing_readme_and_pages_in_folders_are_seen(tmp_path: Path) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "deep" / "page.md").write_text("[a](none)\n")
    assert check_pages(tmp_path) == [
        "README.md: is missing",
        "docs/deep/page.md:1: link to none, which does not exist",
    ]


SOURCE = '''
from dataclasses import dataclass
from pathlib import PurePath

class Base:
    """Documented."""
    def inherited(self): "Said here."
    def bare(self): pass
    @property
    def size(self): return 1
    @classmethod
    def make(cls): pass
    def _private(self): pass

class Child(Base, PurePath):
    """Documented."""
    def inherited(self): pass
    def bare(self): "Said."
    size = property(lambda self: 1, doc="Said.")
    @classmethod
    def make(cls): "Said."

@dataclass
class Data:
    size: int

def documented(): "Said."
def undocumented(): pass
def hidden(): pass
LIMIT = 3
'''


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("sample_package")
    monkeypatch.setitem(sys.modules, "sample_package", module)
    exec(SOURCE, vars(module))
    return module


def test_public_names_without_docstring_are_reported(sample: ModuleType) -> None:
    vars(sample)["__all__"] = ["LIMIT", "Base", "Child", "Data", "documented", "undocumented"]
    assert check_docstrings("sample_package") == [
        "sample_package.Base.bare: has no docstring",
        "sample_package.Base.make: has no docstring",
        "sample_package.Base.size: has no docstring",
        "sample_package.Data: has no docstring",
        "sample_package.undocumented: has no docstring",
    ]


@pytest.mark.usefixtures("sample")
def test_package_without_public_names_is_reported() -> None:
    assert check_docstrings("sample_package") == ["sample_package: has no __all__"]
