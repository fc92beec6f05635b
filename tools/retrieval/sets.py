"""Sets of documents, queries and relevance grades, read from files; what a run measures on.

Three forms are read: one JSON object ``{docs, queries, qrels}``, a folder as BEIR publishes it, and the conversations
of LoCoMo. All become a :class:`RetrievalSet`, whose parts are searched each on its own. Texts stay as they are.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypeVar

from pydantic import FiniteFloat, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from kiromi.errors import InvalidInput
from tools.retrieval.metrics import Grades, relevant_in

_LOCOMO_TIME = "%I:%M %p on %d %B, %Y"  # such as "1:56 pm on 8 May, 2023"
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Document:
    """What is searched for."""

    id: str
    text: str
    title: str | None = None
    session: str | None = None
    """The session of a conversation that it is a turn of."""
    event_at: datetime | None = None

    @property
    def whole(self) -> str:
        """Title and text, as a system sees them that knows no titles."""
        return f"{self.title}\n\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Query:
    """A query with at least one relevant document."""

    id: str
    text: str
    grades: Grades


@dataclass(frozen=True, slots=True)
class Part:
    """Documents that are searched together, and the queries for them."""

    name: str
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """A named set; document ids are unique within a part."""

    name: str
    parts: tuple[Part, ...]
    skipped: int
    """Queries left out because no document is graded as relevant to them."""
    unknown: int
    """Relevant grades of documents that are not there; they count as never found."""

    @property
    def document_count(self) -> int:
        """How many documents there are in all parts."""
        return sum(len(part.documents) for part in self.parts)

    @property
    def has_sessions(self) -> bool:
        """Whether its documents are turns of sessions."""
        return any(document.session is not None for part in self.parts for document in part.documents)

    @property
    def query_count(self) -> int:
        """How many queries there are in all parts."""
        return sum(len(part.queries) for part in self.parts)


def load(argument: str) -> RetrievalSet:
    """Read the set that a command-line argument names: a path, or ``name=path``.

    A folder is read as BEIR, a file as JSON: an object as ``{docs, queries, qrels}``, a list as LoCoMo conversations.
    Without a name the set is called by its file, without ``.json``.

    Raises:
        InvalidInput: there is no such file, it has another form, or no query has a relevant document.
    """
    name, equals, rest = argument.partition("=")
    path = Path(argument)
    if equals and not path.exists():
        path = Path(rest)
    else:
        name = path.resolve().name.removesuffix(".json")
    if not name:
        raise InvalidInput(f"set {argument!r} has no name; accepted: a path or name=path")
    if path.is_dir():
        found = _beir(name, path)
    elif path.is_file():
        found = _json(name, path)
    else:
        raise InvalidInput(f"set {argument!r}: there is no file or folder {path}")
    if not found.query_count:
        raise InvalidInput(f"set {argument!r}: no query has a relevant document")
    return found


def sample(retrieval_set: RetrievalSet, limit: int, seed: int) -> RetrievalSet:
    """Return the set with at most ``limit`` of its queries, drawn at random by ``seed``, and all documents."""
    everything = [(part.name, query.id) for part in retrieval_set.parts for query in part.queries]
    if limit >= len(everything):
        return retrieval_set
    kept = set(random.Random(seed).sample(everything, limit))
    parts = tuple(
        replace(part, queries=tuple(query for query in part.queries if (part.name, query.id) in kept))
        for part in retrieval_set.parts
    )
    return replace(retrieval_set, parts=parts)


# -- {docs, queries, qrels} and LoCoMo -------------------------------------------------------------------------------


class _TitledText(TypedDict):
    title: NotRequired[str | None]
    text: str


class _Plain(TypedDict):
    docs: dict[str, str | _TitledText]
    queries: dict[str, str]
    qrels: dict[str, dict[str, FiniteFloat]]


class _Turn(TypedDict):
    id: str
    session: int | str
    at: str
    speaker: str
    text: str
    caption: NotRequired[str | None]


class _Question(TypedDict):
    question: str
    evidence: list[str]


class _Conversation(TypedDict):
    sample_id: str
    turns: list[_Turn]
    questions: list[_Question]


_PLAIN = TypeAdapter(_Plain)
_CONVERSATIONS = TypeAdapter(list[_Conversation])


def _json(name: str, path: Path) -> RetrievalSet:
    data = path.read_bytes()
    if data.lstrip().startswith(b"["):
        form = "a list of LoCoMo conversations {sample_id, turns, questions}"
        conversations = _parse(_CONVERSATIONS, data, str(path), form)
        return _locomo(name, conversations)
    plain = _parse(_PLAIN, data, str(path), "an object {docs, queries, qrels}")
    documents = [
        Document(key, value) if isinstance(value, str) else Document(key, value["text"], value.get("title"))
        for key, value in plain["docs"].items()
    ]
    return _graded(name, documents, plain["queries"], plain["qrels"])


def _graded(
    name: str, documents: Iterable[Document], queries: Mapping[str, str], grades: Mapping[str, Grades]
) -> RetrievalSet:
    asked = [Query(key, text, grades.get(key, {})) for key, text in queries.items()]
    return _assembled(name, [Part("all", tuple(documents), tuple(asked))])


def _locomo(name: str, conversations: Sequence[_Conversation]) -> RetrievalSet:
    parts = []
    for conversation in conversations:
        asked = [
            Query(str(number), question["question"], dict.fromkeys(question["evidence"], 1.0))
            for number, question in enumerate(conversation["questions"], start=1)
        ]
        parts.append(Part(conversation["sample_id"], tuple(map(_turn, conversation["turns"])), tuple(asked)))
    return _assembled(name, parts)


def _turn(turn: _Turn) -> Document:
    caption = turn.get("caption")
    shared = f" [shares an image: {caption}]" if caption else ""
    text = f"{turn['speaker']}: {turn['text']}{shared}"
    return Document(turn["id"], text, session=str(turn["session"]), event_at=_time(turn))


def _time(turn: _Turn) -> datetime:
    """Return when a turn was said; times are read as UTC if they do not say otherwise."""
    for read in (lambda at: datetime.strptime(at, _LOCOMO_TIME).replace(tzinfo=UTC), datetime.fromisoformat):
        try:
            found = read(turn["at"])
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise InvalidInput(
        f"turn {turn['id']!r} has the time {turn['at']!r}; accepted: '1:56 pm on 8 May, 2023' or ISO 8601"
    )


def _assembled(name: str, parts: Iterable[Part]) -> RetrievalSet:
    """Leave out the queries without a relevant document, and count what is odd."""
    kept, skipped, unknown = [], 0, 0
    for part in parts:
        ids = {document.id for document in part.documents}
        if len(ids) != len(part.documents):
            raise InvalidInput(f"set {name!r}: two documents of part {part.name!r} have the same id")
        answerable = tuple(query for query in part.queries if relevant_in(query.grades))
        skipped += len(part.queries) - len(answerable)
        unknown += sum(len(relevant_in(query.grades) - ids) for query in answerable)
        kept.append(replace(part, queries=answerable))
    if len({part.name for part in kept}) != len(kept):
        raise InvalidInput(f"set {name!r}: two conversations have the same sample_id")
    return RetrievalSet(name, tuple(kept), skipped, unknown)


# -- BEIR ------------------------------------------------------------------------------------------------------------


class _Entry(TypedDict):
    _id: str
    title: NotRequired[str | None]
    text: str


_ENTRY = TypeAdapter(_Entry)
_GRADE = TypeAdapter(FiniteFloat)


def _beir(name: str, folder: Path) -> RetrievalSet:
    documents = [
        Document(entry["_id"], entry["text"], entry.get("title")) for entry in _entries(folder / "corpus.jsonl")
    ]
    queries = {entry["_id"]: entry["text"] for entry in _entries(folder / "queries.jsonl")}
    return _graded(name, documents, queries, _tsv_grades(_qrels_file(folder)))


def _entries(path: Path) -> Iterable[_Entry]:
    for number, line in _lines(path):
        yield _parse(_ENTRY, line, f"{path}:{number}", "a JSON object {_id, title, text}")


def _qrels_file(folder: Path) -> Path:
    """Return the grades of the test split, else the only ones that there are."""
    found = sorted([*folder.glob("qrels.tsv"), *folder.glob("qrels/*.tsv")])
    tests = [path for path in found if path.name == "test.tsv"]
    if len(tests or found) != 1:
        raise InvalidInput(
            f"{folder} has {len(found)} files of grades; accepted: qrels/test.tsv, or one qrels.tsv or qrels/*.tsv"
        )
    return (tests or found)[0]


def _tsv_grades(path: Path) -> dict[str, dict[str, float]]:
    grades: dict[str, dict[str, float]] = {}
    for number, line in _lines(path):
        if number == 1 and not line.rstrip()[-1:].isdigit():  # the header
            continue
        try:
            query, document, grade = line.decode().rstrip("\r\n").split("\t")
            grades.setdefault(query, {})[document] = _GRADE.validate_python(grade)
        except ValueError as error:
            raise InvalidInput(f"{path}:{number}: {line!r}; accepted: query id, document id, grade, by tabs") from error
    return grades


def _lines(path: Path) -> Iterable[tuple[int, bytes]]:
    if not path.is_file():
        raise InvalidInput(
            f"there is no {path}; accepted: a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv"
        )
    with path.open("rb") as file:
        yield from ((number, line) for number, line in enumerate(file, start=1) if line.strip())


def _parse(adapter: TypeAdapter[_Value], data: bytes, where: str, form: str) -> _Value:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{where}: {place + ': ' if place else ''}{first['msg']}; accepted: {form}") from error
