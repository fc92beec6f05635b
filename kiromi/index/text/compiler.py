"""From a parsed query to one that tantivy runs.

Words that stand side by side are ranked together: each counts by its stem in every language present (the best one,
once) and a little more as written; function words are left out where there are others; neighbours that are near each
other in a document count more. Whatever is required or excluded is matched strictly: in a script without spaces, and
for names such as ``foo_bar``, as a phrase.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kiromi.index.text.analysis import Terms, Token, fold, grams, scan, terms
from kiromi.index.text.languages import UNKNOWN, detect, is_function_word, stems
from kiromi.index.text.query import Form, Group, Leaf, Node
from kiromi.index.text.schema import BAG, BARE, EXACT, FACTS, GRAMS, field_pair

if TYPE_CHECKING:
    from tantivy import Query, Schema

DocFreq: TypeAlias = Callable[[str, str], int]
"""How many documents have a term: (field, term) → count."""
_MAX_WORDS = 64
_MAX_EXPANSIONS = 64
_MAX_PHRASES = 8_000
_AS_WRITTEN, _CHARACTER, _PART, _NEAR, _COMPOUND = 0.4, 0.6, 0.5, 0.3, 0.2
"""Beside the 1 of a stem: a word as written, a character alone, a part of a name, neighbours, parts of compounds.

Measured on collections of four kinds: each helps on most of them; neighbours cost the German one half a point."""
_NEAR_SLOP = 4


@dataclass(frozen=True, slots=True)
class Wording:
    """Words of a query with all that they may be in the index."""

    tokens: Sequence[Token]
    variants: Sequence[tuple[str, ...]]
    """The stems of each token in the languages present; empty for a character of a script without spaces."""
    extra: Sequence[str]
    """Pairs of characters, parts and joined forms."""
    is_dropped: Sequence[bool]
    """Whether a token is a function word beside others that are none."""


def wording(text: str, codes: Sequence[str]) -> Wording:
    """Return what the words of a query may be.

    Args:
        text: the words.
        codes: the languages present.
    """
    tokens = scan(text)
    words = [token.text for token in tokens]
    by_code = [terms(text, words, code) for code in codes]
    bags = zip(*(found.bag for found in by_code), strict=True)
    variants: list[tuple[str, ...]] = []
    for token in tokens:
        found = () if token.is_dense else next(bags, ())
        more = _respelled(token.text) if "de" in codes and not token.is_dense else ()
        variants.append(tuple(dict.fromkeys(filter(None, (*found, *more)))))
    extra = dict.fromkeys(word for found in by_code for word in found.extra)
    code = detect(words)
    dropped = [is_function_word(word, code) for word in words]
    if all(dropped) or len(words) < 3:
        return Wording(tokens, variants, list(extra), [False] * len(words))
    return Wording(tokens, variants, [word for word in extra if not is_function_word(word, UNKNOWN)], dropped)


def _respelled(word: str) -> tuple[str, ...]:
    """Return the German stems of a word with its umlauts written the other way: ``muenchen`` for ``münchen``."""
    other = word
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        other = other.replace(umlaut, letters) if umlaut in word else other.replace(letters, umlaut)
    return () if other == word else tuple(fold(stem) for stem in stems([other], "de"))


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles for one state of an index."""

    schema: "Schema"
    doc_freq: DocFreq
    count: int
    """Documents in the index."""
    codes: tuple[str, ...]
    """Languages present; not empty."""
    has_compounds: bool
    prefixed: Callable[[str, str, int], Sequence[str]]
    """(field, prefix, limit) → terms that begin so."""

    def group(self, group: Group) -> "Query | None":
        """Return the query of a group; None if nothing can match."""
        from tantivy import Occur, Query

        must = [query for query in map(self._strict, group.must) if query is not None]
        words = [part for part in group.should if isinstance(part, Leaf) and _is_loose(part)]
        others = [part for part in group.should if not (isinstance(part, Leaf) and _is_loose(part))]
        should = self._loose(words) + [query for query in map(self._strict, others) if query is not None]
        if not must and not should:
            return None
        must_not = [query for query in map(self._strict, group.must_not) if query is not None]
        clauses = [(Occur.Must, query) for query in must]
        clauses += [(Occur.Should, query) for query in should]
        clauses += [(Occur.MustNot, query) for query in must_not]
        return Query.boolean_query(clauses)

    def _strict(self, node: Node) -> "Query | None":
        if isinstance(node, Group):
            return self.group(node)
        if node.field != "content":
            return self._leaf(node, *field_pair(node.field))
        own, anywhere = self._leaf(node, *field_pair("content")), self._leaf(node, EXACT, BAG)
        if own is None or anywhere is None:
            return None
        return any_of([own, all_of([anywhere, self._silent(self._term(FACTS, BARE))])])

    def _leaf(self, leaf: Leaf, exact: str, bag: str) -> "Query | None":
        tokens = scan(leaf.text)
        if not tokens:
            return None
        words = [token.text for token in tokens]
        if leaf.form is Form.PREFIX and not tokens[-1].is_dense:
            return self._prefix(words, exact)
        as_written = self._phrase(words, exact)
        if leaf.form is not Form.WORDS:
            return as_written
        found = wording(leaf.text, self.codes)
        if len(words) > 1:
            joined = fold("".join(words))
            return any_of([as_written, self._term(bag, joined)]) if joined in found.extra else as_written
        return any_of([self._boosted(as_written, _AS_WRITTEN), *self._best(bag, found.variants[0])])

    def _loose(self, leaves: Sequence[Leaf]) -> "list[Query]":
        found = wording(" ".join(leaf.text for leaf in leaves), self.codes)
        kept = self._kept(found)
        queries = []
        for i, repeated in kept.items():
            token, variants = found.tokens[i], found.variants[i]
            weight = _CHARACTER if token.is_dense else _AS_WRITTEN
            queries.append(self._boosted(self._term(EXACT, token.text), weight * repeated))
            queries += [self._boosted(query, repeated) for query in self._best(BAG, variants)]
            if self.has_compounds and not token.is_dense:
                parts = grams([token.text])
                queries += [self._boosted(self._term(GRAMS, part), _COMPOUND / len(parts)) for part in parts]
        for word in found.extra[: 4 * _MAX_WORDS]:
            queries.append(self._boosted(self._term(BAG, word), _PART if word.isascii() else 1.0))
        return queries + self._neighbours(found, {found.tokens[i].text for i in kept})

    def _kept(self, found: Wording) -> dict[int, int]:
        """Return the places of the distinct words that are looked for, and how often each is said."""
        times = Counter(token.text for token in found.tokens)
        places: dict[str, int] = {}
        for i, token in enumerate(found.tokens):
            if not found.is_dropped[i]:
                places.setdefault(token.text, i)
        if len(places) > _MAX_WORDS:
            frequency = {word: self.doc_freq(EXACT, word) or self.count for word in places}
            rarest = sorted(places, key=lambda word: (frequency[word], places[word]))[:_MAX_WORDS]
            places = {word: places[word] for word in sorted(rarest, key=places.__getitem__)}
        return {i: times[word] for word, i in places.items()}

    def _neighbours(self, found: Wording, kept: Collection[str]) -> "list[Query]":
        """Return phrases with some slack, of words that follow each other when function words are left out."""
        from tantivy import Query

        queries = []
        places = [i for i, token in enumerate(found.tokens) if token.text in kept and not found.is_dropped[i]][
            : 2 * _MAX_WORDS
        ]
        for first, second in itertools.pairwise(places):
            one, other = found.variants[first], found.variants[second]
            if one and other and one[0] != other[0]:
                words: list[str | tuple[int, str]] = [(0, one[0]), (second - first, other[0])]
                queries.append(self._boosted(Query.phrase_query(self.schema, BAG, words, _NEAR_SLOP), _NEAR))
        return queries

    def _best(self, bag: str, variants: Sequence[str]) -> "list[Query]":
        from tantivy import Query

        queries = [self._term(bag, variant) for variant in variants]
        return [Query.disjunction_max_query(queries)] if len(queries) > 1 else queries

    def _prefix(self, words: Sequence[str], exact: str) -> "Query":
        from tantivy import Query

        pattern = re.sub(r"([^\w])", r"\\\1", words[-1]) + ".*"
        begun = self.prefixed(exact, words[-1], _MAX_PHRASES + 1)
        if 0 < len(begun) <= _MAX_EXPANSIONS:
            return Query.disjunction_max_query([self._phrase([*words[:-1], word], exact) for word in begun])
        any_begun = Query.regex_query(self.schema, exact, pattern)
        if len(words) == 1:
            return any_begun
        if len(begun) > _MAX_PHRASES:  # tantivy fails where a phrase may be so many
            return all_of([self._phrase(words[:-1], exact), any_begun])
        return Query.regex_phrase_query(self.schema, exact, [*words[:-1], pattern])

    def _phrase(self, words: Sequence[str], exact: str) -> "Query":
        from tantivy import Query

        return self._term(exact, words[0]) if len(words) == 1 else Query.phrase_query(self.schema, exact, list(words))

    def _term(self, field: str, term: str) -> "Query":
        from tantivy import Query

        return Query.term_query(self.schema, field, term)

    def _silent(self, query: "Query") -> "Query":
        from tantivy import Query

        return Query.const_score_query(query, 0.0)

    def _boosted(self, query: "Query", weight: float) -> "Query":
        from tantivy import Query

        return query if weight == 1 else Query.boost_query(query, weight)


def any_of(queries: "Sequence[Query]") -> "Query":
    """Return the query that matches what at least one of these does; scores add up."""
    from tantivy import Occur, Query

    return Query.boolean_query([(Occur.Should, query) for query in queries])


def all_of(queries: "Sequence[Query]") -> "Query":
    """Return the query that matches what each of these does; scores add up."""
    from tantivy import Occur, Query

    return Query.boolean_query([(Occur.Must, query) for query in queries])


def informative(found: Terms, doc_freq: DocFreq, count: int, limit: int) -> list[str]:
    """Return the words of a text that tell it most from others, in the order of the text.

    By tf·idf with a damped tf; words that no document has are left out.
    """
    times = Counter(found.exact)
    weights = {}
    for word, often in times.items():
        frequency = doc_freq(EXACT, word)
        if frequency:
            idf = math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
            weights[word] = (1 + math.log(often)) * max(idf, 0.0)
    best = set(sorted(weights, key=lambda word: (-weights[word], word))[:limit])
    return [word for word in times if word in best]


def _is_loose(leaf: Leaf) -> bool:
    return leaf.form is Form.WORDS and leaf.field is None
