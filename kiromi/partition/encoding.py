r"""Value text to path component and back: what lets any string be a folder name without leaving its place.

Promises: ``decode(encode(text)) == text`` for every text that is not refused; two texts never share a component, on a
filesystem that keeps names as they are, on one that normalises Unicode, and, with ``fold_case``, on one that also
ignores case; a component is never empty, ``.``, ``..`` or absolute. What a value's text is, ``transforms`` decides.

Percent-encoded (UTF-8 bytes, upper-case hex) are ``/ \ = % : * ? " < > |``, the controls (C0, DEL, C1), a dot or space
at either end, and all non-ASCII characters of a value that is not in NFC or would leave NFC once written (a combining
mark after an escape or after ``=`` would merge with it). Hive readers (DuckDB, pyarrow, Spark) undo that themselves;
only the text ``__HIVE_DEFAULT_PARTITION__``, which pyarrow compares after decoding, is a null to it in any encoding.
"""

import re
import unicodedata
from functools import lru_cache
from reprlib import repr as brief
from urllib.parse import unquote_to_bytes

from kiromi.errors import InvalidInput

HIVE_DEFAULT = "__HIVE_DEFAULT_PARTITION__"
"""The component that stands for None, as Hive and all its readers have it."""
COMPONENT_BYTES = 255
"""The longest path component, ``name=`` included, in UTF-8 bytes: what common filesystems allow."""

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_UNSAFE = re.compile(rf'[{_CONTROLS}/\\=%:*?"<>|]|\A[. ]|[. ]\Z')
_UNSAFE_OR_CASED = re.compile(rf"{_UNSAFE.pattern}|[A-Z]|[^\x00-\x7f]")
_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Unicode's Default_Ignorable_Code_Point: case-folding ext4 and HFS+ compare names as if these were not there.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def encode(text: str | None, *, fold_case: bool = False) -> str:
    """Return the path component for ``text``; None gives ``__HIVE_DEFAULT_PARTITION__``.

    Args:
        text: any text; it is never normalised.
        fold_case: also encode every character that a case-folding filesystem could take for another one.

    Raises:
        InvalidInput: the text is empty, holds a lone surrogate, or its component is over 255 bytes.
    """
    return HIVE_DEFAULT if text is None else _encode(text, fold_case, "partition value")


def decode(component: str) -> str | None:
    """Return the text whose component this is, written with ``fold_case`` or without.

    Raises:
        InvalidInput: ``encode`` never writes this component (lower-case hex, a needless or a missing escape, …).
    """
    if component == HIVE_DEFAULT:
        return None
    try:
        text = unquote_to_bytes(component).decode("utf-8")
    except UnicodeError as error:
        raise InvalidInput(f"path component {brief(component)} is not UTF-8 text", component=component) from error
    if component not in (encode(text), encode(text, fold_case=True)):
        raise InvalidInput(
            f"path component {brief(component)} is not how {brief(text)} is written: {encode(text)!r}",
            component=component,
        )
    return text


@lru_cache(maxsize=16_384)
def encode_component(name: str, text: str | None, fold_case: bool) -> str:
    """Return ``name=text``, both encoded, or the text alone for an empty name.

    Raises:
        InvalidInput: as :func:`encode`; the limit of 255 bytes is that of the whole component.
    """
    value = encode(text, fold_case=fold_case)
    if not name:
        return value
    component = f"{_encode(name, fold_case, 'segment name')}={value}"
    _check_length(component, text, "partition value")
    return component


def check_name(name: str, what: str) -> str:
    """Return ``name`` if it can be a path component.

    Args:
        name: a name that a caller chose.
        what: what it names, for the message, such as ``"tenant name"``.

    Raises:
        InvalidInput: it is not a ``str``, is empty, holds a lone surrogate, or its component is over 255 bytes.
    """
    _encode(name, False, what)
    return name


def tenant_folder(name: str, fold_case: bool = False) -> str:
    """Return the folder of a tenant: its name, encoded like a partition value.

    Raises:
        InvalidInput: as :func:`check_name`, for the folder that is really written.
    """
    return _encode(name, fold_case, "tenant name")


def _encode(text: str, fold_case: bool, what: str) -> str:
    _check_text(text, what)
    encoded = _UNSAFE_OR_CASED.sub(_escape_unless_caseless, text) if fold_case else _UNSAFE.sub(_escape, text)
    if not text.isascii() and not (_is_nfc(text) and _is_nfc("=" + encoded)):
        encoded = _NON_ASCII.sub(_escape, encoded)
    if encoded == HIVE_DEFAULT or (fold_case and encoded == HIVE_DEFAULT.lower()):
        encoded = "%5F" + encoded[1:]
    _check_length(encoded, text, what)
    return encoded


def _check_text(text: str, what: str) -> None:
    if not isinstance(text, str):
        raise InvalidInput(f"{what} {brief(text)} is a {type(text).__name__}; expected text", value=str(text))
    if not text:
        raise InvalidInput(f"{what} '' is empty; expected at least one character", value=text)
    if not text.isascii() and _SURROGATE.search(text):
        raise InvalidInput(
            f"{what} {brief(text)} holds a lone surrogate; expected well-formed Unicode", value=ascii(text)
        )


def _check_length(component: str, text: str | None, what: str) -> None:
    size = len(component.encode())
    if size > COMPONENT_BYTES:
        raise InvalidInput(
            f"{what} {brief(text)} makes a path component of {size} bytes; at most {COMPONENT_BYTES} are possible",
            value=text,
            size_bytes=size,
        )


def _is_nfc(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)


def _escape(match: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in match[0].encode()])


def _escape_unless_caseless(match: re.Match[str]) -> str:
    return match[0] if _is_caseless(match[0]) else _escape(match)


@lru_cache(maxsize=4_096)
def _is_caseless(character: str) -> bool:
    """Whether folding case leaves the character as it is, by every definition of folding in use.

    Canonical caseless matching (Unicode, definition D145; ext4, APFS) folds the decomposed form; NTFS and HFS+ map
    through upper or lower case instead, hence the round trip (``ı`` folds to itself, but its upper case is that of
    ``i``). On texts in NFC made of such characters folding is then the same as decomposing, which tells any two of them
    apart. Escapes stay unique although their hex is upper case: a literal ``%`` is escaped, so its place gives it away.
    """
    if character < "\xa0" or _IGNORABLE.match(character):
        return False
    decomposed = unicodedata.normalize("NFD", character)
    folded = unicodedata.normalize("NFD", decomposed.casefold())
    return folded == decomposed and character.upper().casefold() == character
