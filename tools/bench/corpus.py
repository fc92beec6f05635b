"""Memories to measure with: texts of 1 KiB over about fifty partitions of two fields, the same in every run."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

SCHEME = "user={user}/topic={topic}"
USERS, TOPICS = 10, 5
TEXT_BYTES = 1_024
_WORDS = (
    "agent answers aisle batch berlin budget coffee deploy invoice kernel memory meeting partition review seat window"
)


@dataclass(frozen=True, slots=True)
class Record:
    """What is appended: a text and its partition."""

    content: str
    partition: dict[str, str]

    @property
    def path(self) -> str:
        """The path that ``SCHEME`` renders."""
        return f"user={self.partition['user']}/topic={self.partition['topic']}"


def records(count: int) -> list[Record]:
    """Return ``count`` records; the first ones are the same whatever the count."""
    chosen = random.Random(0)
    return [Record(_text(chosen, number), _partition(chosen)) for number in range(count)]


def mappings(of: list[Record]) -> Iterator[dict[str, object]]:
    """Yield records as ``append_many`` takes them."""
    for record in of:
        yield {"content": record.content, "partition": record.partition}


def _text(chosen: random.Random, number: int) -> str:
    words = f"memory {number}: " + " ".join(chosen.choices(_WORDS.split(), k=TEXT_BYTES // 4))
    return words[:TEXT_BYTES]


def _partition(chosen: random.Random) -> dict[str, str]:
    return {"user": f"user-{chosen.randrange(USERS)}", "topic": f"topic-{chosen.randrange(TOPICS)}"}
