"""The global options: each described once, taken before the command and after it."""

from dataclasses import dataclass, fields, replace
from typing import Annotated

import typer

_PANEL = "Global options"


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options as they were given; None and False mean: not given."""

    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            envvar="KIROMI_STORE",
            metavar="ROOT",
            help="The store: a folder or a URL such as s3://bucket/prefix.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant",
            envvar="KIROMI_TENANT",
            metavar="NAME",
            help="The isolated space within the store; 'default' if not said.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    catalog: Annotated[
        str | None,
        typer.Option(
            "--catalog",
            envvar="KIROMI_CATALOG",
            metavar="FOLDER",
            help="A local folder for catalogs and locks; object stores need it.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    archive: Annotated[
        str | None,
        typer.Option(
            "--archive",
            envvar="KIROMI_ARCHIVE",
            metavar="URL",
            help="Keep an archive of the catalog here: each command that wrote something brings it up to date at its"
            " end.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor",
            envvar="KIROMI_ACTOR",
            metavar="NAME",
            help="Who the audit log says did it; 'cli' if not said.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            help="How long to wait for another process to hand the store over; 10 if not said.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    is_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON: one document, or one per line for a stream.", rich_help_panel=_PANEL),
    ] = False
    is_quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Print ids and answers only: no headers, notes or progress.", rich_help_panel=_PANEL
        ),
    ] = False

    def over(self, before: "Settings") -> "Settings":
        """Return these where given, else those that stood before the command."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            before, **{name: value for name, value in own.items() if value is not None and value is not False}
        )
