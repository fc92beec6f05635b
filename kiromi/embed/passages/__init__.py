"""Passages: how a text that is longer than an embedder's window is cut into spans that fit it.

``split`` says where they lie, ``passage_text`` what of each goes to the embedder. Pure functions of values: which
texts are cut, and what becomes of the spans, is their caller's business. A change of what ``split`` returns needs a new
:data:`kiromi.embed.base.SPLITTER`, because vectors depend on it.
"""

from kiromi.embed.passages.splitting import Span, context_line, passage_text, split
from kiromi.embed.passages.tokens import Count, estimate_tokens

__all__ = ["Count", "Span", "context_line", "estimate_tokens", "passage_text", "split"]
