"""Open: find or create a store, check its scheme, and hand out a caller."""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kiromi.embed.base import Embedder
from kiromi.errors import InvalidInput, SchemeMismatch
from kiromi.operations.archive_keeping import Keeper
from kiromi.operations.caller import Caller, Guard, check_text
from kiromi.operations.erase import resume_erasure
from kiromi.operations.models import adopt, check_ready, resolve
from kiromi.partition import Scheme, check_name
from kiromi.session.location import resolve_root
from kiromi.session.operation import Context
from kiromi.session.registry import acquire, release
from kiromi.session.session import Session

Durability = Literal["sync", "relaxed"]


def open_caller(
    root: str | os.PathLike[str],
    *,
    scheme: str | None,
    tenant: str,
    actor: str,
    storage_options: Mapping[str, Any] | None,
    catalog: str | os.PathLike[str] | None,
    read_only: bool,
    wait: float,
    durability: Durability,
    guards: Sequence[Guard],
    embedder: Embedder | str | None,
    archive: str | os.PathLike[str] | None = None,
    archive_options: Mapping[str, Any] | None = None,
) -> Caller:
    """Open a tenant and return who calls from now on; see ``kiromi.open``."""
    check_name(tenant, "tenant")
    check_actor(actor)
    if durability not in ("sync", "relaxed"):
        raise InvalidInput(f"durability={durability!r}; accepted: 'sync', 'relaxed'")
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not wait >= 0:
        raise InvalidInput(f"wait={wait!r} is not a number of seconds of at least 0")
    wanted = None if scheme is None else Scheme.parse(scheme)
    found = resolve(embedder)
    location = resolve_root(root, storage_options, catalog)
    options = storage_options if archive_options is None else archive_options
    keeper = None if archive is None else Keeper.of(archive, options)
    if found is not None and not location.catalog_path(tenant).exists():
        check_ready(found)
    session = acquire(
        location,
        tenant,
        template=None if wanted is None else wanted.template,
        read_only=read_only,
        durable=durability == "sync",
        wait_s=wait,
    )
    try:
        if wanted is not None:
            _check_scheme(session, wanted)
        caller = Caller(
            session,
            Context(actor),
            guards=tuple(guards),
            is_read_only=read_only,
            embedder=found,
            keeper=keeper,
        )
        with session.lease:
            adopt(caller)
        resume_erasure(caller)
    except BaseException:
        release(session)
        raise
    return caller


def check_actor(actor: str) -> None:
    """Refuse an actor that is no non-empty text."""
    if not check_text(actor, "actor"):
        raise InvalidInput(f"actor={actor!r} is not a non-empty text")


def _check_scheme(session: Session, wanted: Scheme) -> None:
    active = session.schemes[session.active_scheme]
    if wanted.template == active.template:
        return
    templates = [scheme.template for scheme in session.schemes.values()]
    if wanted.template not in templates:
        raise SchemeMismatch(
            f"the store's scheme is {active.template!r}, not {wanted.template!r}: open it without scheme=",
            active=active.template,
            given=wanted.template,
        )
    warnings.warn(
        f"scheme {wanted.template!r} is an earlier one of this store; new memories follow {active.template!r}",
        stacklevel=4,
    )
