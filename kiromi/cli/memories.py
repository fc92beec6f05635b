"""``add``, ``get``, ``update``, ``rm`` and ``undelete``: one memory, or the few that a filter chooses."""

import sys
from typing import Annotated, Any

import typer

from kiromi.cli import moments, options, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.cli.values import content, given, id_of, moment, pairs, selection
from kiromi.errors import InvalidInput
from kiromi.model import Memory, MemoryInfo
from kiromi.reports.writing import DeleteReport

PANEL = "Memories"
commands = typer.Typer()

Content = Annotated[
    str | None,
    typer.Argument(metavar="CONTENT", help="The text to store, or - to read it from stdin.", show_default=False),
]


@command(
    commands,
    "add",
    panel=PANEL,
    examples=[
        "kiromi add 'Prefers aisle seats.' --partition user=ana --partition topic=travel --tag pref --attr trip:=7",
        "kiromi add --file notes.md --partition user=ana --title 'Notes of Monday' --event-at 2026-01-31",
        "date | kiromi add - --partition user=ana --key last-seen --put",
    ],
)
def add(
    cli: Invocation,
    text: Content = None,
    file: options.File = None,
    partition: options.Partition = None,
    attributes: options.Attributes = None,
    tags: options.Tags = None,
    title: options.Title = None,
    kind: options.Kind = None,
    key: options.Key = None,
    namespace: Annotated[
        str,
        typer.Option("--namespace", metavar="NAME", help="The space in which the key is unique; empty if not said."),
    ] = "",
    is_put: Annotated[
        bool, typer.Option("--put", help="If the key is in use, make that memory's next version instead of failing.")
    ] = False,
    memory_id: Annotated[
        str | None, typer.Option("--id", metavar="ULID", help="The id to give it; a new one if not said.")
    ] = None,
    media_type: options.MediaType = None,
    language: options.Language = None,
    importance: options.Importance = None,
    confidence: options.Confidence = None,
    event_at: options.EventAt = None,
    valid_from: options.ValidFrom = None,
    valid_until: options.ValidUntil = None,
    expires_at: options.ExpiresAt = None,
) -> None:
    """Store a memory and print its id and path. It is durable when this returns.

    With --key and --put the memory of that key is replaced as a whole: what is not given is reset to its default.
    """
    stored = content(text, file, media_type)
    if "content" not in stored:
        raise InvalidInput("nothing to store: give CONTENT, --file PATH, or - to read stdin")
    if is_put and (key is None or memory_id is not None):
        raise InvalidInput("--put replaces by key: give --key, and no --id")
    fields = given(
        **stored,
        partition=pairs(partition or [], "--partition"),
        attributes=pairs(attributes or [], "--attr"),
        tags=tags,
        title=title,
        kind=kind,
        key=key,
        namespace=namespace,
        id=memory_id,
        language=language,
        importance=importance,
        confidence=confidence,
        event_at=moment(event_at, "--event-at"),
        valid_from=moment(valid_from, "--valid-from"),
        valid_until=moment(valid_until, "--valid-until"),
        expires_at=moment(expires_at, "--expires-at"),
    )
    with cli.open() as store:
        memory = store.put(**fields) if is_put else store.append(**fields)
    _show_one(cli, memory)


@command(
    commands,
    "get",
    panel=PANEL,
    examples=[
        "kiromi get 01KAK9Z6B5M3V0QW8XN2RYT4HD",
        "kiromi get key:pep-0008.md --namespace peps | less",
        "kiromi get key:seat --at before-import",
        "kiromi get 01KAK9Z6B5M3V0QW8XN2RYT4HD --info",
    ],
)
def get(
    cli: Invocation,
    reference: options.Reference,
    namespace: options.Namespace = None,
    at: moments.At = None,
    is_info: Annotated[bool, typer.Option("--info", help="Show what is known of it instead of its content.")] = False,
) -> None:
    """Write a memory's content to stdout, byte for byte as it was stored.

    With --json: all that is known of it, and the content as text ("content"), or as base64 ("content_base64") if its
    media type is no text. The content is checked against its SHA-256 before it is shown (exit 8 if it was changed).
    """
    with cli.open(read_only=True) as store:
        seen = moments.looking(store, at)
        memory = seen.get(moments.id_then(store, seen, reference, namespace))
    if cli.is_json:
        cli.document(memory.info() if is_info else shown.memory_document(memory))
    elif is_info:
        for line in shown.columns(shown.facts(memory.info())):
            cli.line(line)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(memory.data)
        sys.stdout.buffer.flush()


@command(
    commands,
    "update",
    panel=PANEL,
    examples=[
        "kiromi update 01KAK9Z6B5M3V0QW8XN2RYT4HD 'Prefers window seats.' --expected-version 1",
        "kiromi update key:seat --namespace prefs --attr trip:=8 --attr note:=null --clear title",
        "kiromi update 01KAK9Z6B5M3V0QW8XN2RYT4HD --partition topic=trains",
    ],
)
def update(
    cli: Invocation,
    reference: options.Reference,
    text: Content = None,
    file: options.File = None,
    namespace: options.Namespace = None,
    expected_version: options.ExpectedVersion = None,
    cleared: Annotated[
        list[str] | None,
        typer.Option(
            "--clear", metavar="FIELD", help="Empty a field: title, tags, key, expires_at, … May be repeated."
        ),
    ] = None,
    partition: options.Partition = None,
    attributes: options.Attributes = None,
    tags: options.Tags = None,
    title: options.Title = None,
    kind: options.Kind = None,
    key: options.Key = None,
    media_type: options.MediaType = None,
    language: options.Language = None,
    importance: options.Importance = None,
    confidence: options.Confidence = None,
    event_at: options.EventAt = None,
    valid_from: options.ValidFrom = None,
    valid_until: options.ValidUntil = None,
    expires_at: options.ExpiresAt = None,
) -> None:
    """Make a memory's next version. What is not given stays; if nothing changes, no version is made.

    Attributes are merged: NAME:=null removes one. Tags are replaced. If a value that the scheme reads changes, the
    memory moves to its new path in the same step; its id stays.
    """
    fields = given(
        **content(text, file, media_type),
        partition=pairs(partition or [], "--partition") or None,
        attributes=pairs(attributes or [], "--attr") or None,
        tags=tags,
        title=title,
        kind=kind,
        key=key,
        language=language,
        importance=importance,
        confidence=confidence,
        event_at=moment(event_at, "--event-at"),
        valid_from=moment(valid_from, "--valid-from"),
        valid_until=moment(valid_until, "--valid-until"),
        expires_at=moment(expires_at, "--expires-at"),
    )
    twice = sorted(fields.keys() & set(cleared or ()))
    if twice:
        raise InvalidInput(f"{twice[0]} is both given and cleared: expected one")
    with cli.open() as store:
        wanted: dict[str, Any] = {**fields, **dict.fromkeys(cleared or (), None)}
        memory = store.update(id_of(store, reference, namespace), expected_version=expected_version, **wanted)
    _show_one(cli, memory)


@command(
    commands,
    "rm",
    panel=PANEL,
    examples=[
        "kiromi rm 01KAK9Z6B5M3V0QW8XN2RYT4HD",
        "kiromi rm --within user=ana --where 'trip < 5'",
        "kiromi rm --within user=ana --where 'trip < 5' --yes",
    ],
)
def rm(
    cli: Invocation,
    references: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The memories: ids, or key:NAME.", show_default=False)
    ] = None,
    namespace: options.Namespace = None,
    expected_version: options.ExpectedVersion = None,
    within: options.Within = None,
    where: options.Where = None,
    is_sure: options.Yes = False,
) -> None:
    """Delete memories: those that are named, at once and together; or those that a scope and a filter choose.

    With --within or --where the plan is shown, and --yes applies it. Nothing is lost: contents rest in the attic, and
    "kiromi undelete" brings them back.
    """
    chosen = selection(within or [], where)
    has_choice = bool(within) or where is not None
    if bool(references) == has_choice:
        raise InvalidInput("which memories? Give ids, or --within and --where")
    if has_choice:
        with cli.open(read_only=not is_sure) as store:
            _show_report(cli, store.delete_where(**chosen, dry_run=not is_sure))
        return
    with cli.open() as store:
        ids = list(dict.fromkeys(id_of(store, reference, namespace) for reference in references or ()))
        if expected_version is not None and len(ids) > 1:
            raise InvalidInput("--expected-version is one memory's: name one")
        with store.transaction() as tx:
            deleted = [tx.delete(memory_id, expected_version=expected_version) for memory_id in ids]
    _show_all(cli, deleted, "deleted")


@command(
    commands,
    "undelete",
    panel=PANEL,
    examples=["kiromi undelete 01KAK9Z6B5M3V0QW8XN2RYT4HD", "kiromi undelete key:seat --namespace prefs"],
)
def undelete(
    cli: Invocation,
    references: Annotated[list[str], typer.Argument(metavar="ID...", help="The memories: ids, or key:NAME.")],
    namespace: options.Namespace = None,
) -> None:
    """Bring deleted memories back where they were, all together, each as its next version."""
    with cli.open() as store:
        ids = list(dict.fromkeys(id_of(store, reference, namespace) for reference in references))
        with store.transaction() as tx:
            back = [tx.undelete(memory_id) for memory_id in ids]
    _show_all(cli, back, "back")


def _show_one(cli: Invocation, memory: Memory) -> None:
    if cli.is_json:
        cli.document(memory.info())
    else:
        cli.line(memory.id if cli.is_quiet else f"{memory.id}  version {memory.version}  {memory.path}")


def _show_all(cli: Invocation, infos: list[MemoryInfo], word: str) -> None:
    if cli.is_json:
        cli.items(infos)
        return
    for info in infos:
        cli.line(info.id if cli.is_quiet else f"{word}  {info.id}  version {info.version}  {info.path}")


def _show_report(cli: Invocation, report: DeleteReport) -> None:
    if cli.is_json:
        cli.document(report)
        return
    for memory_id in report.ids:
        cli.line(memory_id)
    if report.count > len(report.ids):
        cli.note(f"… and {report.count - len(report.ids):,} more")
    word = "deleted" if report.applied else "would delete"
    cli.note(f"{word} {shown.count_text(report.count, 'memory')}, {shown.size_text(report.size_bytes)}")
    if not report.applied and report.count:
        cli.note("nothing was changed; add --yes to delete")
