"""Options that several commands share, each described once."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

SELECT = "Which memories"
_FIELDS = "What is stored with it"

Reference: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The memory: its id, or key:NAME for its key.")]
Namespace: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        metavar="NAME",
        help="The namespace in which key:NAME is looked up; any that has the key if not said.",
    ),
]
Within: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--within",
        metavar="NAME=VALUE",
        help="Only in this partition: the exact value of a segment or field of the scheme. May be repeated.",
        rich_help_panel=SELECT,
    ),
]
Where: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        help='Only what matches, as in: trip >= 5 and tags contains "pref".',
        rich_help_panel=SELECT,
    ),
]
Yes: TypeAlias = Annotated[
    bool, typer.Option("--yes", help="Do it; without this the plan is shown and nothing is changed.")
]
ExpectedVersion: TypeAlias = Annotated[
    int | None,
    typer.Option("--expected-version", metavar="N", help="Refuse (exit 7) if the memory has another version by now."),
]
File: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="PATH",
        help="Take the content from this file, byte for byte; its extension says the media type.",
    ),
]
Partition: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--partition",
        metavar="NAME=VALUE",
        help="A value for the scheme; NAME:=JSON gives a typed one. May be repeated.",
        rich_help_panel=_FIELDS,
    ),
]
Attributes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--attr",
        metavar="NAME=VALUE",
        help="An attribute; NAME:=JSON gives a typed one, such as trip:=7. May be repeated.",
        rich_help_panel=_FIELDS,
    ),
]
Tags: TypeAlias = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag. May be repeated.", rich_help_panel=_FIELDS)
]
Title: TypeAlias = Annotated[
    str | None, typer.Option("--title", metavar="TEXT", help="A title.", rich_help_panel=_FIELDS)
]
Kind: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="episodic (if not said), semantic, procedural, archival, working, or any short text.",
        rich_help_panel=_FIELDS,
    ),
]
Key: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="NAME",
        help="A name of your own, unique among the live memories of its namespace.",
        rich_help_panel=_FIELDS,
    ),
]
MediaType: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--media-type",
        metavar="TYPE",
        help="What the bytes are, such as text/plain; text is text/markdown if not said.",
        rich_help_panel=_FIELDS,
    ),
]
Language: TypeAlias = Annotated[
    str | None, typer.Option("--language", metavar="TAG", help="A BCP 47 language tag.", rich_help_panel=_FIELDS)
]
Importance: TypeAlias = Annotated[
    float | None,
    typer.Option("--importance", metavar="0..1", help="How much it matters.", rich_help_panel=_FIELDS),
]
Confidence: TypeAlias = Annotated[
    float | None, typer.Option("--confidence", metavar="0..1", help="How sure it is.", rich_help_panel=_FIELDS)
]
EventAt: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--event-at",
        metavar="TIME",
        help="When it happened, in ISO 8601, UTC without a zone; when it was stored if not said.",
        rich_help_panel=_FIELDS,
    ),
]
ValidFrom: TypeAlias = Annotated[
    str | None, typer.Option("--valid-from", metavar="TIME", help="From when it holds.", rich_help_panel=_FIELDS)
]
ValidUntil: TypeAlias = Annotated[
    str | None, typer.Option("--valid-until", metavar="TIME", help="Until when it holds.", rich_help_panel=_FIELDS)
]
ExpiresAt: TypeAlias = Annotated[
    str | None,
    typer.Option("--expires-at", metavar="TIME", help="From then on no read shows it.", rich_help_panel=_FIELDS),
]
