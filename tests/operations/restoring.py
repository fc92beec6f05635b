"""What tests of restore share: the state of a store without what counts on, such as versions."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import kiromi
from tests.operations.remembering import QUESTIONS

ANA = {"user": "ana"}
BOB = {"user": "bob"}
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def plain(memory: kiromi.Memory) -> kiromi.Memory:
    """Return a memory without what says only how often and when it was changed."""
    return replace(memory, version=0, seq=0, updated_at=_NEVER, run_id=None)


def state(store: kiromi.Store | kiromi.StoreView) -> dict[str, Any]:
    """Return all that a restore brings back."""
    return {
        "memories": {memory.id: plain(memory) for memory in store.get_many(store.list_ids())},
        "links": sorted(
            (replace(link, seq=0) for link in store.links()), key=lambda link: (link.src, link.dst, link.kind)
        ),
        "scheme": store.scheme,
        "partitions": store.partitions(),
        "ids": [store.list_ids(*question) for question in QUESTIONS],
    }


def counts(report: kiromi.RestoreReport) -> tuple[int, ...]:
    return report.removed, report.back, report.changed, report.moved, report.links


def reasons(report: kiromi.RestoreReport) -> dict[str | None, str]:
    return {left.id: left.reason for left in report.left}


def check_sound(store: kiromi.Store) -> None:
    assert not store.verify(read_data=True).problems
    assert store.audit_verify().is_clean
