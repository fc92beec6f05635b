"""``search`` and ``related``: find memories by words and by meaning."""

from typing import Annotated, Literal

import typer

from kiromi.cli import moments, options
from kiromi.cli.command import command
from kiromi.cli.hits import show_hits
from kiromi.cli.invocation import Invocation
from kiromi.cli.values import id_of, moment, pairs, selection
from kiromi.errors import InvalidInput

PANEL = "Search"
commands = typer.Typer()

_K = Annotated[int, typer.Option("-k", metavar="N", help="How many at most, from 1 to 10,000.")]
_Superseded = Annotated[
    bool,
    typer.Option(
        "--include-superseded", help="Also those that another memory replaced.", rich_help_panel=options.SELECT
    ),
]
_Explain = Annotated[bool, typer.Option("--explain", help="Show what each score is made of.")]
_Query = Annotated[
    str,
    typer.Argument(
        metavar="QUERY",
        help='What to look for: words, "a phrase", prefix*, title: tags: content: before a word, AND OR NOT + -.',
    ),
]
_Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Only memories of this kind.",
        show_default=False,
        rich_help_panel=options.SELECT,
    ),
]
_ValidAt = Annotated[
    str | None,
    typer.Option(
        "--valid-at",
        metavar="TIME",
        help="Only what held then, by valid_from and valid_until.",
        rich_help_panel=options.SELECT,
    ),
]
_Mode = Annotated[
    Literal["auto", "vector", "text", "hybrid"],
    typer.Option(
        "--mode",
        metavar="MODE",
        help="vector: by meaning, text: by words, hybrid: by both, auto: by both if the store has a model.",
    ),
]
_Profile = Annotated[
    Literal["relevance", "recent", "trusted"],
    typer.Option(
        "--profile",
        metavar="NAME",
        help="What else counts. relevance: nothing, recent: newer ones, trusted: importance and confidence.",
    ),
]
_Fusion = Annotated[
    Literal["convex", "rrf"],
    typer.Option(
        "--fusion", metavar="NAME", help="How hybrid fuses both. convex: the mean of the scores, rrf: by ranks."
    ),
]
_MinScore = Annotated[float | None, typer.Option("--min-score", metavar="X", help="Leave out what has a lower score.")]
_Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="LIST=X",
        help="How much each list counts where both are fused: text=1, vector=2. May be repeated.",
    ),
]


@command(
    commands,
    "search",
    panel=PANEL,
    examples=[
        "kiromi search 'seat preference'",
        "kiromi search '\"night train\" OR ferr*' --within user=ana --where 'trip >= 5' -k 3",
        "kiromi search 'what does she like to eat?' --mode vector --explain",
        "kiromi search 'tags:pref seat' --profile recent --json",
        "kiromi search 'seat preference' --at 2026-01-31",
    ],
)
def search(
    cli: Invocation,
    query: _Query,
    k: _K = 10,
    within: options.Within = None,
    where: options.Where = None,
    at: moments.At = None,
    kind: _Kind = None,
    valid_at: _ValidAt = None,
    has_superseded: _Superseded = False,
    mode: _Mode = "auto",
    profile: _Profile = "relevance",
    fusion: _Fusion = "convex",
    min_score: _MinScore = None,
    weights: _Weights = None,
    is_explained: _Explain = False,
) -> None:
    """Find the memories that fit a query best: by its words, and by its meaning if the store has a model.

    Each hit is a line with its score, id and path, then the part of it that matched. A query that begins with - comes
    after "--".
    """
    with cli.open(or_read_only=True) as store:
        if mode in ("vector", "hybrid") and not store.models():
            raise InvalidInput(
                f'--mode {mode} needs a model, and the store has none: choose one with "kiromi reembed EMBEDDER", or'
                " use --mode text"
            )
        hits = moments.looking(store, at).search(
            query,
            k=k,
            **selection(within or [], where),
            mode=mode,
            kind=kind,
            valid_at=moment(valid_at, "--valid-at"),
            include_superseded=has_superseded,
            profile=profile,
            fusion=fusion,
            weights=_weights(weights or []) or None,
            min_score=min_score,
            explain=is_explained,
        )
    show_hits(cli, hits)


def _weights(words: list[str]) -> dict[str, float]:
    found = {}
    for name, value in pairs(words, "--weight").items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"--weight {name}={value!r}: expected a number, as in {name}=2") from error
    return found


@command(
    commands,
    "related",
    panel=PANEL,
    examples=["kiromi related 01KAK9Z6B5M3V0QW8XN2RYT4HD", "kiromi related key:seat.md -k 3 --within user=ana"],
)
def related(
    cli: Invocation,
    reference: options.Reference,
    namespace: options.Namespace = None,
    k: _K = 10,
    within: options.Within = None,
    where: options.Where = None,
    has_superseded: _Superseded = False,
    is_explained: _Explain = False,
) -> None:
    """Find the memories that are most like one: by its vectors if it has some, else by its most telling words."""
    with cli.open(or_read_only=True) as store:
        hits = store.related(
            id_of(store, reference, namespace),
            k=k,
            **selection(within or [], where),
            include_superseded=has_superseded,
            explain=is_explained,
        )
    show_hits(cli, hits)
