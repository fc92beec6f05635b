"""A lexical baseline for tests and examples, not a semantic model: texts are near when they share words and letters.

Feature hashing (Weinberger et al. 2009) of words, pairs of neighbouring words, and letters within words. All sums are
of whole numbers and every other step is exactly rounded by IEEE 754, so that the vectors are the same to the last bit
on every machine.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import add

import numpy as np
import numpy.typing as npt

from kiromi.embed.base import Matrix, Metric, Role
from kiromi.embed.checks import check_dimension

_RUN = re.compile(r"\w+")
_IDEOGRAPHS = "\u2e80"
"""From here on lie Chinese, Japanese and Korean, which write words in few characters and mostly without spaces."""
_WORD_WEIGHT, _PAIR_WEIGHT = 16, 4
"""For how many runs of letters these count; by the square root, a word weighs 4 times as much as a run."""


@dataclass(frozen=True, slots=True)
class HashingEmbedder:
    """A lexical baseline for tests, not a semantic model: it finds shared words, not shared meaning.

    The same text gives the same vector, of length 1, on every machine (but for letters newer than the Unicode tables of
    its Python). Lower-cased words, pairs of words and runs of three letters are hashed into signed components; what
    occurs n times counts as the square root of n. In Chinese, Japanese and Korean two characters count as a word.
    Documents and queries are embedded alike; texts have no limit.

    Args:
        dimension: length of a vector, 1 to 16,384.

    Raises:
        InvalidInput: ``dimension`` is out of range.
    """

    dimension: int = 256

    def __post_init__(self) -> None:
        check_dimension(self.dimension)

    @property
    def id(self) -> str:
        """``hash-1-256``: the version of the method, and the dimension."""
        return f"hash-1-{self.dimension}"

    @property
    def metric(self) -> Metric:
        """Cosine."""
        return "cosine"

    @property
    def batch_size(self) -> int:
        """How many texts are taken at once."""
        return 256

    @property
    def window(self) -> int | None:
        """None: no limit."""
        return None

    @property
    def spec(self) -> str:
        """``hash:256``."""
        return f"hash:{self.dimension}"

    def embed(self, texts: Sequence[str], role: Role) -> Matrix:
        """Return one vector of length 1 for each text: shape (len(texts), dimension)."""
        found = [_features(text) for text in texts]
        rows = np.repeat(np.arange(len(texts)), np.array([len(features) for features in found], np.intp))
        hashes = _hashes(chain.from_iterable(found), len(rows))
        counts = np.fromiter(chain.from_iterable(features.values() for features in found), np.float64, len(rows))
        amounts = np.floor(256.0 * np.sqrt(counts)) * np.where(hashes & np.uint32(1), 1.0, -1.0)
        cells = rows * self.dimension + (hashes >> np.uint32(1)) % np.uint32(self.dimension)
        sums = np.bincount(cells, amounts, len(texts) * self.dimension).reshape(len(texts), self.dimension)
        sums[~sums.any(axis=1), 0] = 1.0  # what cancels out has no direction
        lengths: npt.NDArray[np.float64] = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
        return (sums / lengths).astype(np.float32)


def _features(text: str) -> Counter[str]:
    """Return what occurs in a text, and how much it counts; never empty, and without line breaks."""
    words = [word for run in _RUN.findall(text.lower()) for word in _words(run)] or [f"<{' '.join(text.split())}>"]
    features = Counter([word[start : start + 3] for word in words for start in range(len(word) - 2)])
    for weight, names in ((_WORD_WEIGHT, words), (_PAIR_WEIGHT, map(add, words, words[1:]))):
        for name, count in Counter(names).items():
            features[name] += weight * count
    return features


def _words(run: str) -> list[str]:
    if run.isascii() or max(run) < _IDEOGRAPHS:
        return [f"<{run}>"]  # framed, so that three letters at its beginning are not those in a middle
    return [run[start : start + 2] for start in range(len(run) - 1)] or [run]


def _hashes(features: Iterable[str], count: int) -> npt.NDArray[np.uint32]:
    """Return a 32-bit hash of each feature: its CRC-32, mixed by the last steps of MurmurHash3."""
    sums = map(zlib.crc32, "\n".join(features).encode("utf-8", "surrogatepass").split(b"\n"))
    hashes = np.fromiter(sums, np.uint32, count)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashes ^= hashes >> np.uint32(shift)
        hashes *= np.uint32(factor)
    return hashes ^ (hashes >> np.uint32(16))
