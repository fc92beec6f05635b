"""The fields of the text index, and how a document fills them.

``exact`` and ``bag`` hold title, content and tags together, so that BM25 weighs a word once however it is spread over
them (the idea of BM25F: the title counts twice). A query for one field reads that field's own pair. The pair of
``content`` is only filled where there also is a title or a tag; else the document is marked as *bare*.
"""

import hashlib
from typing import TYPE_CHECKING

from kiromi.index.items import TextDocument
from kiromi.index.text.analysis import Terms, grams, terms, tokenise
from kiromi.index.text.languages import COMPOUNDING, detect, known

if TYPE_CHECKING:
    from tantivy import Document, Index, Schema

ID, MARKS, FACTS = "id", "marks", "facts"
EXACT, BAG, GRAMS = "exact", "bag", "grams"
BARE = "bare"
"""The fact that a document has neither title nor tags."""
COMPOUNDS = "compounds"
"""The fact that ``grams`` of a document are there."""
_TERMS, _RAW = "terms", "literal"
_MAX_LITERAL = 1_000
_SHORT = 40
"""Shorter documents count as being so long: that one is a remark of three words says nothing for it."""
_FILLER = "\ue000"
"""A term that no word is."""
_HASHED = "\x00sha256:"


def field_pair(field: str | None) -> tuple[str, str]:
    """Return the names of the exact stream and the bag of a field; None for all fields together."""
    return (EXACT, BAG) if field is None else (f"{field}_{EXACT}", f"{field}_{BAG}")


def make_schema() -> "Schema":
    """Return the schema."""
    from tantivy import SchemaBuilder

    builder = SchemaBuilder()
    builder.add_text_field(ID, stored=True, tokenizer_name=_RAW, index_option="basic")
    builder.add_text_field(MARKS, tokenizer_name=_RAW, index_option="basic")
    builder.add_text_field(FACTS, tokenizer_name=_RAW, index_option="basic")
    for field in (None, "title", "tags", "content"):
        exact, bag = field_pair(field)
        builder.add_text_field(exact, tokenizer_name=_TERMS)
        builder.add_text_field(bag, tokenizer_name=_TERMS, index_option="position" if field is None else "freq")
    builder.add_text_field(GRAMS, tokenizer_name=_TERMS, index_option="freq")
    return builder.build()


def register(index: "Index") -> None:
    """Give an index that was just opened its analysers: terms come made, and only need to be told apart."""
    from tantivy import TextAnalyzerBuilder, Tokenizer

    index.register_tokenizer(_TERMS, TextAnalyzerBuilder(Tokenizer.whitespace()).build())
    index.register_tokenizer(_RAW, TextAnalyzerBuilder(Tokenizer.raw()).build())


def literal(text: str) -> str:
    """Return the term that stands for an id or a mark, whatever its characters; different texts, different terms."""
    if len(text) <= _MAX_LITERAL and not text.startswith(_HASHED) and (text.isascii() or _is_encodable(text)):
        return text
    return _HASHED + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def language_fact(code: str) -> str:
    """Return the fact that a document is in a language."""
    return f"language={code}"


def to_document(item: TextDocument, default: str | None) -> "Document":
    """Return what is indexed of a memory.

    Args:
        item: the memory.
        default: the language of memories that do not say theirs; None to detect it.
    """
    from tantivy import Document

    document = Document()
    document.add_text(ID, literal(item.id))
    for mark in dict.fromkeys(item.marks):
        document.add_text(MARKS, literal(mark))
    words = tokenise(item.content)
    code = known(item.language) or default or detect(words or tokenise(item.title or " ".join(item.tags)))
    document.add_text(FACTS, language_fact(code))
    content = terms(item.content, words, code)
    length = len(content.exact)
    _add(document, None, content)
    parts = [("title", item.title or "", 2), *(("tags", tag, 1) for tag in item.tags)]
    if item.title or item.tags:
        _add(document, "content", content)
        for field, text, weight in parts:
            found = terms(text, tokenise(text), code)
            _add(document, field, found)
            length += weight * len(found.exact)
            for _ in range(weight):
                _add(document, None, found)
    else:
        document.add_text(FACTS, BARE)
    if 0 < length < _SHORT:
        for stream in (EXACT, BAG):
            document.add_text(stream, " ".join([_FILLER] * (_SHORT - length)))
    if code in COMPOUNDING:
        document.add_text(FACTS, COMPOUNDS)
        document.add_text(GRAMS, " ".join(grams([*tokenise(item.title or ""), *words])))
    return document


def _add(document: "Document", field: str | None, found: Terms) -> None:
    exact, bag = field_pair(field)
    if found.exact:
        document.add_text(exact, " ".join(found.exact))
        document.add_text(bag, " ".join(found.bag))
    if found.extra:
        document.add_text(bag, " ".join(found.extra))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
