"""How many tokens a text has: by an embedder's own count, or by a cautious estimate."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from kiromi.errors import EmbedderError

Count: TypeAlias = Callable[[Sequence[str]], Sequence[int]]
"""The number of tokens of each text, in order; special tokens may be included or not."""

_BATCH = 4096
"""Texts counted in one call: a tokenizer's encodings of them are in memory at once."""
_LONG_WORD = 16
"""A run of more letters is rarely a word; names, hashes and keys make a token of about two characters."""
_RUN = re.compile(r"[A-Za-z]+|[0-9]+|[^\x00-\x7f\s]+|[^\s]")


def estimate_tokens(texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text for an unknown tokenizer, rather too many than too few.

    Words of ASCII letters have a token for three letters (two in runs of over 16), digits one for two, other ASCII
    characters one each. Elsewhere two bytes of UTF-8 are a token: 1.5 for a Chinese character. Whitespace is free.
    """
    return [sum(map(_run_tokens, _RUN.findall(text))) for text in texts]


def count_all(texts: Iterable[str], count: Count) -> list[int]:
    """Return the number of tokens of each text, counted in batches.

    Raises:
        EmbedderError: ``count`` gives another number of counts, or one that is no whole number from 0.
    """
    wanted = list(texts)
    counts: list[int] = []
    for begin in range(0, len(wanted), _BATCH):
        batch = wanted[begin : begin + _BATCH]
        found = [int(number) for number in count(batch)]
        if len(found) != len(batch) or min(found) < 0:
            raise EmbedderError(
                f"the embedder's count_tokens gave {len(found)} numbers, the least {min(found, default=None)}, for"
                f" {len(batch)} texts; expected one for each, from 0"
            )
        counts += found
    return counts


def _run_tokens(run: str) -> int:
    size = len(run)
    if not run.isascii():
        return (len(run.encode("utf-8", "surrogatepass")) + 1) // 2
    if size > _LONG_WORD or run.isdigit():
        return (size + 1) // 2
    return (size + 2) // 3
