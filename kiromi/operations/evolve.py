"""Evolve: another scheme for what is new from now on; what is there stays where it lies."""

import json
from collections.abc import Mapping

from kiromi.catalog.database import SCHEME_SET
from kiromi.errors import InvalidInput
from kiromi.operations.caller import Caller
from kiromi.operations.jobs import refuse_beside
from kiromi.partition import Scheme
from kiromi.session.commit import transaction
from kiromi.session.operation import Operation
from kiromi.session.session import Session


def evolve(caller: Caller, template: str) -> None:
    """Make a scheme the active one; see ``Store.evolve_scheme``."""
    caller.check_writable()
    if caller.scope.wanted:
        raise InvalidInput("schemes are of the whole tenant: ask an unscoped handle")
    scheme = Scheme.parse(template)
    session = caller.session
    with transaction(session, caller.context) as operation:
        refuse_beside(caller, "changing the scheme", ["migrate"])
        former = session.active_scheme
        if session.schemes[former] == scheme and not session.supplied.segments:
            return
        number = plan_activate(session, operation, scheme, {})
        operation.record("evolve_scheme", None, {"scheme": [former, number], "template": scheme.template})


def number_of(session: Session, scheme: Scheme) -> int | None:
    """Return the number of a scheme that the store has, or had, else None."""
    return next((number for number, known in session.schemes.items() if known == scheme), None)


def plan_activate(session: Session, operation: Operation, scheme: Scheme, sets: Mapping[str, str]) -> int:
    """Plan to make a scheme the active one, with the attributes that new memories are supplied with.

    Returns:
        Its number.
    """
    number = number_of(session, scheme)
    if number is None:
        number = max(session.schemes) + 1
        operation.execute(
            "INSERT INTO schemes VALUES (?, ?, make_timestamptz(?))", number, scheme.template, operation.at
        )
    if number != session.active_scheme:
        operation.execute("INSERT INTO scheme_events VALUES (?, ?)", operation.seq, number)
    operation.execute("DELETE FROM settings WHERE name = ?", SCHEME_SET)
    if sets:
        operation.execute("INSERT INTO settings VALUES (?, ?)", SCHEME_SET, json.dumps(dict(sets)))
    return number
