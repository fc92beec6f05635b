"""Which format a source or target has, and its reader.

A name's ending decides unless the caller says otherwise: ``.jsonl`` or ``.ndjson``, ``.csv``, ``.parquet`` (a file or a
folder), and a folder of any other name is Markdown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from kiromi.errors import InvalidInput
from kiromi.portable.csv import read_csv
from kiromi.portable.jsonl import read_jsonl
from kiromi.portable.markdown import METADATA, read_folder
from kiromi.portable.parquet import read_parquet
from kiromi.portable.source import Found
from kiromi.records import MAX_KEY_BYTES

Format: TypeAlias = Literal["markdown", "jsonl", "parquet", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)

_BY_SUFFIX: Mapping[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where an import reads from; it can be read more than once."""

    path: Path
    format: Format
    namespace: str
    """Of keys whose record names none."""
    rename: Mapping[str, str]
    types: Mapping[str, str]

    def read(self) -> Iterator[Found]:
        """Return the records of the source, read one by one.

        Raises:
            InvalidInput: there is nothing to read at all; at once or with the first record.
        """
        match self.format:
            case "markdown":
                return read_folder(self.path, namespace=self.namespace, rename=self.rename)
            case "jsonl":
                return read_jsonl(self.path, namespace=self.namespace)
            case "csv":
                return read_csv(self.path, namespace=self.namespace, types=self.types)
            case "parquet":
                return read_parquet(self.path, namespace=self.namespace)

    @property
    def names_bad_records_by_key(self) -> bool:
        """Whether the position of a record that cannot be read tells which key it has."""
        return self.format == "markdown" and not (self.path / METADATA).is_file()


def open_source(
    path: Path,
    format_name: str | None,
    namespace: str | None,
    rename: Mapping[str, str] | None,
    types: Mapping[str, str] | None,
) -> Source:
    """Return the source at a path; nothing is read yet.

    Args:
        path: a file or folder.
        format_name: one of ``FORMATS``; None lets the name decide.
        namespace: None takes the folder's name, or the file's without its ending.
        rename: for the front matter of a folder, see :func:`~kiromi.portable.frontmatter.draft_fields`.
        types: for the columns of a CSV file, see :func:`~kiromi.portable.csv.read_csv`.

    Raises:
        InvalidInput: nothing is there, the format is unknown, an argument is for another one, or the namespace cannot
            be one.
    """
    if not path.exists():
        raise InvalidInput(f"{str(path)!r} is not there", path=str(path))
    found = format_of(path, format_name, is_folder=path.is_dir())
    if rename and found != "markdown":
        raise InvalidInput(f"rename= is for the front matter of a folder; {str(path)!r} is read as {found}")
    if types and found != "csv":
        raise InvalidInput(f"types= is for the columns of a CSV file; {str(path)!r} is read as {found}")
    return Source(path, found, _check_namespace(path, namespace), rename or {}, types or {})


def format_of(path: Path, given: str | None, *, is_folder: bool) -> Format:
    """Return the format that is given, or that the name of a path says.

    Raises:
        InvalidInput: it is unknown, or the name says nothing.
    """
    if given is not None:
        if given not in FORMATS:
            raise InvalidInput(f"format {given!r}: expected one of {', '.join(FORMATS)}", format=str(given))
        return given
    found = _BY_SUFFIX.get(path.suffix.lower())
    if found is not None:
        return found
    if is_folder:
        return "markdown"
    raise InvalidInput(
        f"{str(path)!r} does not say its format: give format= ({', '.join(FORMATS)}), or a name that ends in "
        f"{', '.join(_BY_SUFFIX)}",
        path=str(path),
    )


def _check_namespace(path: Path, given: str | None) -> str:
    if given is None:
        absolute = path.resolve()
        given = absolute.name if path.is_dir() and absolute.suffix.lower() not in _BY_SUFFIX else absolute.stem
    try:
        size = len(given.encode())
    except (AttributeError, UnicodeEncodeError):
        size = 0
    # The empty namespace is where keys of the caller's own are; a source must not be able to prune those.
    if not 0 < size <= MAX_KEY_BYTES:
        raise InvalidInput(
            f"source name {given!r}: expected text of 1 to {MAX_KEY_BYTES:,} bytes in UTF-8; give one with source_name="
        )
    return given
