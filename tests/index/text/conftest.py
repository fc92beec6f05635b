"""Indices to test with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kiromi.index.items import TextDocument
from kiromi.index.text.index import TextIndex, TextSettings

Make = Callable[..., TextIndex]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes an index of texts (ids a, b, c, …) or of documents."""
    made = []

    def make(*items: str | TextDocument, language: str = "auto") -> TextIndex:
        index = TextIndex.create(None, {}, TextSettings(language), tmp_path / "scratch")
        made.append(index)
        index.apply(
            1,
            (),
            [
                TextDocument(chr(ord("a") + i), None, item, (), None, ()) if isinstance(item, str) else item
                for i, item in enumerate(items)
            ],
        )
        return index

    yield make
    for index in made:
        index.close()
