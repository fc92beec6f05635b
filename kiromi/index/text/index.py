"""The text index: BM25 over title, content and tags in tantivy, derived from rows and blobs and thrown away at will.

It promises that what was applied is seen by the next search; that a scope is exact, whatever characters its marks have;
that k hits come back whenever k exist in the scope, best first and ties by id; and that a checkpoint is checked whole
before it is used (:mod:`.workspace`). It knows no catalog: whoever uses it brings documents and a watermark.
"""

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import unidata_version

from kiromi.errors import IndexCorrupt, InvalidInput
from kiromi.index.files import FileSum, load_manifest
from kiromi.index.items import TextDocument, TextHit
from kiromi.index.text.analysis import terms, tokenise
from kiromi.index.text.compiler import Compiler, all_of, any_of, informative
from kiromi.index.text.languages import STEMMERS, UNKNOWN, detect, known
from kiromi.index.text.query import Group, Leaf, TextQuery
from kiromi.index.text.schema import (
    COMPOUNDS,
    FACTS,
    ID,
    MARKS,
    language_fact,
    literal,
    make_schema,
    register,
    to_document,
)
from kiromi.index.text.snippet import Snippet, make_snippet
from kiromi.index.text.workspace import Workspace, checkpoint, new_workspace, restore

if TYPE_CHECKING:
    from tantivy import Index, IndexWriter, Query, Searcher

FORMAT = "1"
"""Of what is indexed; other analysis, other number."""
AUTO = "auto"
_HEAP_BYTES = 50_000_000
"""Of documents not yet written; taken as they come, given back by a commit."""
_FEW_IDS = 1_000
_SPARE = 8
_GROWTH = 4
_ROUNDS_BEFORE_SET = 2
_LIKE = 24
_LIKE_CHARACTERS = 50_000


@dataclass(frozen=True, slots=True)
class TextSettings:
    """How texts are read; another value means another index."""

    language: str = AUTO
    """Of memories that do not say theirs: a code such as ``de``, ``und`` for no stemming, or ``auto`` to detect it."""

    def __post_init__(self) -> None:
        if self.language not in (AUTO, UNKNOWN) and known(self.language) in (None, UNKNOWN):
            raise InvalidInput(
                f"language={self.language!r}; accepted: 'auto', 'und' for no stemming, {', '.join(sorted(STEMMERS))}"
            )


@dataclass(frozen=True, slots=True)
class TextScope:
    """Where to search."""

    marks: tuple[tuple[str, ...], ...] | None = None
    """A document is in the scope when it has every mark of one of these; None for all documents."""
    ids: Collection[str] | None = None
    """The ids allowed, best as a set; None for all."""


@dataclass(frozen=True, slots=True)
class _View:
    """One state of the index, as searches see it."""

    searcher: "Searcher"
    compiler: Compiler


class TextIndex:
    """The text index of one store. Searches may run while one thread applies."""

    def __init__(
        self,
        folder: Path | None,
        workspace: Workspace,
        index: "Index",
        facts: Mapping[str, Any],
        settings: TextSettings,
    ) -> None:
        """Use :meth:`open` or :meth:`create`."""
        self.watermark = int(facts.get("watermark", 0))
        self._folder = folder
        self._workspace = workspace
        self._index = index
        self._facts = dict(facts)
        self._default = None if settings.language == AUTO else known(settings.language)
        self._saved: Mapping[str, FileSum] = {}
        self._guard = threading.Lock()
        self._writer: IndexWriter | None = None
        self._is_closed = False
        self._has_documents = True
        self._is_pending = False
        index.config_reader("manual")
        self._view = self._look()

    @classmethod
    def open(
        cls, folder: Path | None, identity: Mapping[str, str], settings: TextSettings, scratch: Path
    ) -> "TextIndex | None":
        """Open the last checkpoint.

        Args:
            folder: where checkpoints lie; None for an index that is never saved.
            identity: whose index it has to be.
            settings: how it has to have been made.
            scratch: a local folder for working files; several processes may share it.

        Returns:
            The index, or None if there is none.

        Raises:
            IndexCorrupt: it is damaged, or was made by others or in another way; it has to be built anew.
        """
        from tantivy import Index

        manifest = load_manifest(folder) if folder is not None else None
        if folder is None or manifest is None:
            return None
        wanted = _facts(identity, settings)
        if any(manifest.facts.get(name) != value for name, value in wanted.items()):
            raise IndexCorrupt("the text index belongs to another store, or was made in another way")
        workspace = new_workspace(scratch)
        try:
            manifest = restore(folder, workspace)
            index = Index.open(str(workspace.folder))
            register(index)
            opened = cls(folder, workspace, index, {**wanted, "watermark": manifest.facts["watermark"]}, settings)
        except (ValueError, KeyError, TypeError, OSError) as error:
            workspace.close()
            raise IndexCorrupt(f"the text index cannot be opened: {error}") from error
        except BaseException:
            workspace.close()
            raise
        opened._saved = manifest.files
        return opened

    @classmethod
    def create(
        cls, folder: Path | None, identity: Mapping[str, str], settings: TextSettings, scratch: Path
    ) -> "TextIndex":
        """Make an empty index with watermark 0; the last checkpoint stays until :meth:`save`.

        Args:
            folder: where checkpoints will lie; None for an index that is never saved.
            identity: whose index it is.
            settings: how texts are read.
            scratch: a local folder for working files; several processes may share it.
        """
        from tantivy import Index

        workspace = new_workspace(scratch)
        try:
            index = Index(make_schema(), str(workspace.folder))
            register(index)
            created = cls(folder, workspace, index, _facts(identity, settings), settings)
        except BaseException:
            workspace.close()
            raise
        created._has_documents = False
        return created

    # -- writing ----------------------------------------------------------------------------------------------------

    def add(self, documents: Iterable[TextDocument]) -> None:
        """Take in documents whose ids the index does not have; seen, and counted, by the next :meth:`apply`."""
        with self._guard:
            self._check_open()
            for item in documents:
                document = to_document(item, self._default)
                with _translated("written"):
                    self._writing().add_document(document)
                self._has_documents = self._is_pending = True

    def apply(self, seq: int, gone: Iterable[str], fresh: Iterable[TextDocument]) -> None:
        """Take in changes up to ``seq``, which becomes the watermark unless that is higher already.

        Doing it again changes nothing.

        Args:
            seq: the last operation whose changes are in here.
            gone: ids that are no more.
            fresh: documents as they are now; each replaces the one of its id.

        Raises:
            IndexCorrupt: tantivy failed; the index has to be built anew.
            InvalidInput: the index is closed.
        """
        with self._guard:
            self._check_open()
            ids = list(gone)
            latest = {item.id: item for item in fresh}  # the last one counts where an id comes twice
            documents = [to_document(item, self._default) for item in latest.values()]
            with _translated("written"):
                self._delete([*ids, *latest])
                for document in documents:
                    self._writing().add_document(document)
                    self._has_documents = self._is_pending = True
                if self._is_pending:
                    self._writing().commit()
                    self._is_pending = False
                    self._view = self._look()
            self.watermark = max(self.watermark, seq)

    def save(self) -> None:
        """Make the present state the one that :meth:`open` finds; nothing happens without a folder.

        Raises:
            OSError: it could not be written; the former state stays.
        """
        with self._guard:
            if self._folder is not None:
                facts = {**self._facts, "watermark": self.watermark}
                self._saved = checkpoint(self._folder, self._workspace, facts, self._saved).files

    def close(self) -> None:
        """Wait for merges and remove the working files; what was not saved is gone."""
        with self._guard:
            if self._is_closed:
                return
            self._is_closed = True
            if self._writer is not None:
                self._writer.wait_merging_threads()
                self._writer = None
            self._workspace.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise InvalidInput("the text index is closed")

    def _writing(self) -> "IndexWriter":
        if self._writer is None:
            self._writer = self._index.writer(_HEAP_BYTES, 1)
        return self._writer

    def _delete(self, ids: Iterable[str]) -> None:
        if self._has_documents:
            for memory_id in ids:
                self._writing().delete_documents_by_term(ID, literal(memory_id))
                self._is_pending = True

    def _look(self) -> _View:
        self._index.reload()
        searcher = self._index.searcher()
        codes = tuple(code for code in (*STEMMERS, UNKNOWN) if searcher.doc_freq(FACTS, language_fact(code)))
        schema = self._index.schema

        def prefixed(field: str, prefix: str, limit: int) -> list[str]:
            return [term for term, _ in searcher.terms_with_prefix(field, prefix, limit=limit)]

        has_compounds = searcher.doc_freq(FACTS, COMPOUNDS) > 0
        compiler = Compiler(schema, searcher.doc_freq, searcher.num_docs, codes or (UNKNOWN,), has_compounds, prefixed)
        return _View(searcher, compiler)

    # -- searching --------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many documents a search sees."""
        return self._view.searcher.num_docs

    def search(self, query: TextQuery, k: int, scope: TextScope) -> list[TextHit]:
        """Return the best documents for a query: best first, those of one score by id.

        Args:
            query: from :func:`~kiromi.index.text.query.parse_query`, or :meth:`query_like`.
            k: how many at most.
            scope: where to search.

        Returns:
            k hits, or fewer when no more match. A query that is empty or only excludes finds nothing.

        Raises:
            IndexCorrupt: tantivy failed; the index has to be built anew.
        """
        view = self._view
        compiled = view.compiler.group(query.root) if k > 0 else None
        if compiled is None or not view.searcher.num_docs or scope.marks == () or _is_empty(scope.ids):
            return []
        with _translated("searched"):
            return _best(view, compiled, k, scope)

    def query_like(self, title: str | None, content: str, tags: Iterable[str], language: str | None) -> TextQuery:
        """Return a query for documents like this one: its words that are most telling in this index.

        Args:
            title: its title.
            content: its content; the beginning of a long one counts.
            tags: its tags.
            language: its language (BCP 47); None to detect it.
        """
        text = "\n".join([title or "", *tags, content[:_LIKE_CHARACTERS]])
        words = tokenise(text)
        compiler = self._view.compiler
        found = terms(text, words, known(language) or self._default or detect(words))
        chosen = informative(found, compiler.doc_freq, compiler.count, _LIKE)
        return TextQuery(" ".join(chosen), Group(should=tuple(Leaf(word) for word in chosen)))

    def snippet(self, query: TextQuery, text: str, language: str | None = None) -> Snippet:
        """Return the part of a text that shows best why it matches, with what matched.

        Args:
            query: what was searched for.
            text: the content of a hit.
            language: as the memory says (BCP 47); None to detect it.
        """
        code = known(language) or self._default
        return make_snippet(query, text, code, self._view.compiler.codes)


def _facts(identity: Mapping[str, str], settings: TextSettings) -> dict[str, Any]:
    from tantivy import tantivy

    made_by = f"{tantivy.__version__}; analysis {FORMAT}; Unicode {unidata_version}"
    return {"identity": dict(identity), "settings": asdict(settings), "made_by": made_by}


@contextlib.contextmanager
def _translated(done: str) -> Iterator[None]:
    """Let what tantivy raises mean that the index has to be built anew."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise IndexCorrupt(f"the text index cannot be {done}: {error}") from error


def _is_empty(ids: Collection[str] | None) -> bool:
    return ids is not None and not ids


def _best(view: _View, compiled: "Query", k: int, scope: TextScope) -> list[TextHit]:
    """Search ever deeper, until k that are allowed are found and no other has the score of the last."""
    searcher = view.searcher
    inner = compiled if scope.marks is None else all_of([compiled, _marked(view, scope.marks)])
    ids = scope.ids
    if ids is not None and len(ids) <= _FEW_IDS:
        inner, ids = all_of([inner, _among(view, ids)]), None
    limit = min(k + _SPARE, searcher.num_docs)
    rounds = 0
    while True:
        found = searcher.search(inner, limit, count=False).hits
        is_all = len(found) < limit or limit >= searcher.num_docs
        last = found[-1][0] if found else 0.0
        hits = []
        for score, address in found:
            if is_all or score > last:
                memory_id = searcher.doc(address)[ID][0]
                if ids is None or memory_id in ids:
                    hits.append(TextHit(memory_id, score))
        if is_all or len(hits) >= k:
            return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:k]
        rounds += 1
        if ids is not None and rounds == _ROUNDS_BEFORE_SET:
            # The words are frequent where the scope is not: let tantivy do it, however many ids there are.
            inner, ids = all_of([inner, _among(view, ids)]), None
        limit = min(limit * _GROWTH, searcher.num_docs)


def _marked(view: _View, marks: tuple[tuple[str, ...], ...]) -> "Query":
    from tantivy import Query

    schema = view.compiler.schema
    ways = []
    for every in marks:
        terms_of = [Query.term_query(schema, MARKS, literal(mark)) for mark in every] or [Query.all_query()]
        ways.append(all_of(terms_of))
    return Query.const_score_query(any_of(ways), 0.0)


def _among(view: _View, ids: Collection[str]) -> "Query":
    from tantivy import Query

    return Query.const_score_query(
        Query.term_set_query(view.compiler.schema, ID, [literal(memory_id) for memory_id in ids]), 0.0
    )
