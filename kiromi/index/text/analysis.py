"""How text becomes terms: tokens with exact positions, and the two streams that are indexed.

*Exact*: every token as written, case-folded; the stream of phrases and prefixes. *Bag*: what a token also answers to:
its stem without accents, the parts and joined forms of identifiers, and pairs of neighbouring characters where a script
has no spaces. Such a script (Han, kana, Hangul, Thai, Lao, Khmer, Burmese, and emoji) gives one token a character, so a
phrase is a substring. Leaves languages to :mod:`.languages`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from kiromi.index.text.languages import stems

MAX_TOKEN = 200
"""Characters of a token that count."""
_GRAM = 5
_LONG = 8
"""Characters from which on a word may be a compound."""

_DENSE = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e50-\u0e59\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf"
    "\u1000-\u102a\u103f\u1050-\u1055\u1780-\u17b3\u1100-\u11ff\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u3131-\u318e\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7fb\uf900-\ufaff"
    "\uff66-\uff9d\uffa0-\uffdc\U00020000-\U0003ffff\u2600-\u27bf\U0001f300-\U0001faff"
)
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0903"
    "\u093a-\u094f\u0951-\u0957\u0962\u0963\u0981-\u0983\u09bc-\u09cd\u0a01-\u0a03\u0a3c-\u0a51\u0a81-\u0a83\u0abc-\u0acd"
    "\u0b01-\u0b03\u0b3c-\u0b57\u0b82\u0bbe-\u0bcd\u0c00-\u0c04\u0c3c-\u0c56\u0c81-\u0c83\u0cbc-\u0cd6\u0d00-\u0d03"
    "\u0d3b-\u0d4d\u0d81-\u0d83\u0dca-\u0ddf\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e"
    "\u1056-\u109d\u17b4-\u17d3\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\uff9e\uff9f\ufe20-\ufe2f\u200c\u200d"
)
_CLUSTER = rf"(?:[\u1100-\u115f][\u1160-\u11a7]+[\u11a8-\u11ff]*|[{_DENSE}])[{_MARKS}]*"
_LETTER = rf"[^\W_{_DENSE}]"
_WORD = rf"{_LETTER}(?:{_LETTER}|[{_MARKS}])*"
_SIGNED = r"(?<!\w)[A-Za-z](?:\+\+|#)(?!\w)"
_TOKEN = re.compile(rf"(?P<dense>{_CLUSTER})|{_SIGNED}|{_WORD}(?:['’\u02bc]{_WORD})*")
_ASCII_TOKEN = re.compile(rf"{_SIGNED}|[a-z0-9]+(?:'[a-z0-9]+)*")
_HUMP = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_HUMP_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_JOINED = re.compile(rf"(?:{_WORD}[-.,_])+{_WORD}")
_SPLIT = re.compile("[-.,_]")
_HAS_JOINT = re.compile(r"\w[-.,_]\w")
_ELISION = re.compile(r"(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|all|dall|dell|nell|sull|un)'(?=..)")
_FOLDS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "ð": "d", "þ": "th", "'": ""})
_ACCENTS = re.compile("[\u0300-\u036f\u064b-\u065f\u0670\u0591-\u05c7]")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, or one character of a script without spaces."""

    text: str
    """As it is indexed: case-folded, in Unicode's NFKC."""
    begin: int
    end: int
    """Where it stands: characters ``[begin, end)``."""
    is_dense: bool
    """Whether it is a character of a script without spaces."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is indexed of a text, or looked for."""

    exact: Sequence[str]
    """The tokens as written, in order."""
    bag: Sequence[str]
    """One entry a word: its stem without accents."""
    extra: Sequence[str]
    """Pairs of characters, and the parts and joined forms of identifiers; they belong to the bag."""


def scan(text: str) -> list[Token]:
    """Return the tokens of a text, in order."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        begin, end = match.span()
        raw = match[0]
        if match["dense"]:
            tokens.append(Token(_normal(raw), begin, end, True))
        elif raw.isalnum() or raw[-1] in "+#":
            tokens.append(Token(_normal(raw), begin, end, False))
        else:
            tokens += _apart(raw, begin)
    return tokens


def tokenise(text: str) -> Sequence[str]:
    """Return the texts of :func:`scan`, quickly."""
    if not text.isascii():
        return [token.text for token in scan(text)]
    words: list[str] = _ASCII_TOKEN.findall(text.lower())
    if "'" in text:
        found, words = words, []
        for word in found:
            if "'" in word:
                words += [part.text for part in _apart(word, 0)]
            else:
                words.append(word)
    if words and len(max(words, key=len)) > MAX_TOKEN:
        return [word[:MAX_TOKEN] for word in words]
    return words


def terms(text: str, words: Sequence[str], code: str) -> Terms:
    """Return what is indexed of a text.

    Args:
        text: as given.
        words: ``tokenise(text)``.
        code: its language, or ``und``.
    """
    bag = stems(words, code)
    extra = _humps(text, code) if _HUMP.search(text) else []
    if text.isascii():
        if "'" in text:
            bag = [stem.replace("'", "") for stem in bag]
    else:
        bag = [stem if stem.isascii() and "'" not in stem else fold(stem) for stem in bag]
        tokens = scan(text)
        bag = [stem for stem, token in zip(bag, tokens, strict=True) if not token.is_dense]
        extra = [*extra, *pairs(tokens)]
    if _HAS_JOINT.search(text):
        extra = [*extra, *_joined(text)]
    return Terms(words, bag, extra)


def fold(word: str) -> str:
    """Return a word without accents and apostrophes, in plain letters where Latin has them."""
    word = word.translate(_FOLDS)
    return (
        word if word.isascii() else unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", word)))
    )


def grams(words: Sequence[str]) -> list[str]:
    """Return the runs of five letters in long words: by them the parts of a compound are found."""
    return [
        plain[i : i + _GRAM]
        for word in words
        if len(word) >= _LONG and not word.isdigit()
        for plain in (fold(word),)
        for i in range(len(plain) - _GRAM + 1)
    ]


def pairs(tokens: Sequence[Token]) -> list[str]:
    """Return each pair of neighbouring characters of scripts without spaces; a character that stands alone as it is."""
    found = []
    joined_before = False
    for i, token in enumerate(tokens):
        if not token.is_dense:
            joined_before = False
            continue
        follower = tokens[i + 1] if i + 1 < len(tokens) else None
        joins = follower is not None and follower.is_dense and follower.begin == token.end
        if joins and follower is not None:
            found.append(token.text + follower.text)
        elif not joined_before:
            found.append(token.text)
        joined_before = joins
    return found


def _humps(text: str, code: str) -> list[str]:
    """Return the stems of the parts of names such as ``getUserName``."""
    parts = []
    for match in _TOKEN.finditer(text):
        if _HUMP.search(match[0]):
            found = [part.lower() for part in _HUMP_PARTS.findall(match[0])]
            parts += found if len(found) > 1 else []
    return [fold(stem) for stem in stems(parts, code)]


def _joined(text: str) -> list[str]:
    """Return names and numbers such as ``e-mail``, ``U.S.`` and ``10,000`` in one piece."""
    found = []
    for match in _JOINED.finditer(text):
        parts = _SPLIT.split(match[0])
        if len(parts) <= 3 or all(len(part) == 1 for part in parts) or match[0].replace(",", "").isdigit():
            found.append(fold(_normal("".join(parts))))
    return found


def _apart(raw: str, begin: int) -> list[Token]:
    """Return the tokens of a word with apostrophes or marks: ``l'eau`` is two, ``Ana's`` is ``ana``."""
    plain = raw.replace("’", "'").replace("\u02bc", "'").casefold() if "'" not in raw else raw.casefold()
    if len(plain) != len(raw):
        return [Token(_normal(raw), begin, begin + len(raw), False)]
    end = begin + len(raw)
    if plain.endswith("'s"):
        return [*_apart(raw[:-2], begin)]
    elided = _ELISION.match(plain)
    if elided:
        cut = elided.end()
        return [Token(_normal(raw[: cut - 1]), begin, begin + cut - 1, False), *_apart(raw[cut:], begin + cut)]
    return [Token(_normal(plain), begin, end, False)]


def _normal(text: str) -> str:
    if text.isascii():
        return text.lower()[:MAX_TOKEN]
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(folded.split())[:MAX_TOKEN]
