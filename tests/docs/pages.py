"""The pages of the documentation, cut into what is tested: code blocks, tables, and code within the text."""

import re
from collections.abc import Iterator
from pathlib import Path

from tools.check_docs import Block, split_page

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = (README, *sorted(DOCS.glob("**/*.md")))

_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)|``\s?([^\n]+?)\s?``")


def name_of(page: Path) -> str:
    """Return how tests name a page."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[Block]:
    """Return the fenced blocks of one language, top to bottom."""
    return [block for block in split_page(text_of(page))[1] if block.language == language]


def code_spans(text: str) -> list[str]:
    """Return what stands in backticks on the lines of a text; an escaped bar of a table is a bar."""
    return [(match[1] or match[2]).replace("\\|", "|") for match in _SPAN.finditer(text)]


def prose_spans(page: Path) -> Iterator[str]:
    """Yield what stands in backticks outside the fenced blocks of a page."""
    for line in split_page(text_of(page))[0]:
        yield from code_spans(line)


def tables(page: Path) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield each table of a page: the heading above it, its header, and its rows of cells."""
    heading, header = "", list[str]()
    rows: list[list[str]] = []
    for line in [*split_page(text_of(page))[0], ""]:
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if not header:
                header = cells
            elif set("".join(cells)) - set("-: "):
                rows.append(cells)
        elif header:
            yield heading, header, rows
            header, rows = [], []
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
