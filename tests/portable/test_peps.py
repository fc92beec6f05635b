"""The front matter of a real corpus: Python's enhancement proposals."""

from collections import Counter
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from kiromi.portable.markdown import read_folder
from kiromi.portable.source import SourceRecord

PEPS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "peps"


@pytest.mark.skipif(not PEPS.is_dir(), reason="the corpus is not beside the repository")
def test_every_pep_is_read_with_its_types() -> None:
    found = list(read_folder(PEPS, namespace="peps", rename={"event_at": "created"}))
    drafts = [record.draft for record in found if isinstance(record, SourceRecord)]
    assert len(found) == len(drafts) == 736
    assert Counter(draft.attributes["type"] for draft in drafts) == {
        "Standards Track": 579,
        "Informational": 104,
        "Process": 53,
    }
    for record, draft in zip(found, drafts, strict=True):
        assert record.position == draft.key == f"pep-{draft.attributes['pep']:04d}.md"
        assert draft.content == (PEPS / record.position).read_bytes()
        assert draft.title
        assert isinstance(draft.attributes["status"], str)
        created = draft.attributes["created"]
        assert type(created) is date
        assert draft.event_at == datetime.combine(created, time(), UTC)
        assert isinstance(draft.attributes.get("python_version", ""), str)
        assert isinstance(draft.attributes["authors"], tuple)
    assert sum("python_version" in draft.attributes for draft in drafts) == 521
