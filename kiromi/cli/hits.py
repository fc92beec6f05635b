"""How hits are shown to people: a line that says which memory, then the part of it that matched."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from kiromi.cli import shown
from kiromi.cli.invocation import Invocation
from kiromi.cli.values import KEY_PREFIX
from kiromi.model import Hit

Parts: TypeAlias = list[tuple[str, str]]
"""Pieces of a line: (text, style)."""

_WIDTH = 240
"""Characters of a passage that are shown, as many as a snippet has."""
_MATCH = "bold red"  # as grep shows it
_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n.{0,65536}?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


def show_hits(cli: Invocation, hits: Sequence[Hit]) -> None:
    """Print hits as JSON, as ids, or for people."""
    if cli.is_json:
        cli.items(map(shown.hit_document, hits))
        return
    if not hits:
        cli.note("no memory fits")
    for rank, hit in enumerate(hits, 1):
        if cli.is_quiet:
            cli.line(hit.id)
            continue
        indent = len(f"{rank}. ")
        cli.styled(*_head(rank, hit))
        cli.styled(*_excerpt(hit), indent=indent)
        if hit.explanation is not None:
            cli.styled((explained(hit.explanation), "dim"), indent=indent)


def explained(explanation: Mapping[str, Any]) -> str:
    """Return the components of a score on one line: what each list says, then what the profile made of it."""
    parts = []
    for name in ("text", "vector"):
        if name in explanation:
            found = explanation[name]
            part = f"{name} rank {found['rank']}, score {found['score']:.4f}"
            # The scores of a list that is alone are not fused: they are the hits' relevance.
            is_alone = found["score"] == explanation["relevance"]
            parts.append(part if is_alone else f"{part}, adds {found['contribution']:.4f}")
    factors = ", ".join(f"{name} {explanation[name]:.2f}" for name in ("recency", "importance", "confidence"))
    parts.append(f"relevance {explanation['relevance']:.4f} x {explanation['factor']:.4f} ({factors})")
    return "; ".join(parts)


def _head(rank: int, hit: Hit) -> Parts:
    parts = [(f"{rank}. ", "dim"), (f"{hit.score:.4f}", "cyan"), (f"  {hit.id}  {hit.path}", "")]
    if hit.key is not None:
        parts.append((f"  {KEY_PREFIX}{hit.key}", ""))
    if hit.title is not None:
        parts.append((f"  {hit.title}", "bold"))
    return parts


def _excerpt(hit: Hit) -> Parts:
    """Return what matched, or else where the passage begins, on one line."""
    if not shown.is_text(hit):
        return [(f"{hit.media_type}, {shown.size_text(hit.size)}", "dim")]
    text = hit.text
    if hit.snippet is not None:
        snippet, highlights = hit.snippet, hit.highlights
        start = text.find(snippet)
    else:
        start, end = hit.span or (0, len(text))
        snippet, highlights = text[start : min(end, start + _WIDTH)], ()
    body = _body(text, start, snippet, highlights)
    if start < body:
        highlights = tuple((begin + start - body, end + start - body) for begin, end in highlights)
        snippet, start = snippet[body - start :], body
    lead = len(snippet) - len(snippet.lstrip())
    shifted = [(begin - lead, end - lead) for begin, end in highlights if begin >= lead]
    parts = [(re.sub(r"\s+", " ", piece), style) for piece, style in _pieces(snippet.strip(), shifted)]
    if text[body:start].strip():
        parts.insert(0, ("… ", "dim"))
    if text[start + len(snippet) :].strip():
        parts.append((" …", "dim"))
    return parts


def _body(text: str, start: int, snippet: str, highlights: Sequence[tuple[int, int]]) -> int:
    """Return where to begin: after the front matter, unless a snippet has matches in it alone."""
    found = _FRONT_MATTER.match(text)
    body = found.end() if found else 0
    is_shown = start + len(snippet) > body and (not highlights or start + highlights[-1][0] >= body)
    return body if is_shown else 0


def _pieces(snippet: str, highlights: Sequence[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    at = 0
    for begin, end in highlights:
        yield snippet[at:begin], ""
        yield snippet[begin:end], _MATCH
        at = end
    yield snippet[at:], ""
