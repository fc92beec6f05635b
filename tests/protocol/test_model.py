"""The protocol, as a model, survives every kill and every power loss over every short sequence of operations."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import pytest

from tests.protocol.model import OPS, Kill, Op, World

KINDS = ("local", "objects")


def sequences(length: int) -> Iterator[tuple[Op, ...]]:
    """Return all that begin with a write."""
    return (sequence for sequence in itertools.product(OPS, repeat=length) if sequence[0][0] == "write")


def run(
    kind: str, sequence: Sequence[Op], kills: Iterable[int], how: int, *, power: bool, flaws: Iterable[str] = ()
) -> bool:
    """Run a sequence with kills at those ticks; return whether they all came.

    The bits of ``how``, three for each operation: whether its settle fails, whether it is large, whether a read folds
    the journal after it.
    """
    world = World(kind, kills, loses_power=power, flaws=flaws)
    for i, op in enumerate(sequence):
        bits = how >> 3 * i
        try:
            world.do(op, settles=not bits & 1, is_large=bool(bits & 2))
            if bits & 4:
                world.fold()
        except Kill:
            recover(world)
    came = not world.has_kills
    world.stop_kills()
    recover(world)
    world.check()
    assert not world.catalog.pending()
    return came


def recover(world: World) -> None:
    """Open until it is not killed."""
    while True:
        try:
            world.recover()
        except Kill:
            continue
        return


def exhaust(length: int, hows: Iterable[int], *, second: int = 0, flaws: Iterable[str] = ()) -> int:
    """Kill at every tick, and again at the next few; return how many runs that were."""
    runs = 0
    for kind, power in (("local", False), ("local", True), ("objects", False)):
        for sequence, how in itertools.product(sequences(length), hows):
            for first in itertools.count(1):
                runs += 1
                if not run(kind, sequence, [first], how, power=power, flaws=flaws):
                    break
                for again in range(1, second + 1):
                    runs += 1
                    run(kind, sequence, [first, again], how, power=power, flaws=flaws)
    return runs


def every_how(length: int) -> range:
    return range(8**length)


def some_hows(length: int) -> list[int]:
    """Return all plain; every settle failing; all large; all read; and alternations of these."""
    kinds = (0, 1, 2, 4, 7)
    pairs = itertools.product(kinds, repeat=2)
    return sorted({sum((first, other)[i % 2] << 3 * i for i in range(length)) for first, other in pairs})


@pytest.mark.parametrize("length", [1, 2])
def test_short_sequences_survive_every_kill_in_every_mode(length: int) -> None:
    print(length, exhaust(length, every_how(length), second=6), "runs")


@pytest.mark.parametrize(("length", "hows"), [(3, some_hows(3)), (4, [0, 0o1212, 0o4040, 0o7777]), (5, [0])])
def test_longer_sequences_survive_every_kill(length: int, hows: list[int]) -> None:
    print(length, exhaust(length, hows, second=2 if length == 3 else 0), "runs")


@pytest.mark.torture
@pytest.mark.parametrize(
    ("length", "hows", "second"),
    [(3, every_how(3), 4), (4, some_hows(4), 4), (5, some_hows(5), 0), (6, [0, 0o121212], 0)],
)
def test_long_sequences_survive_every_kill(length: int, hows: Sequence[int], second: int) -> None:
    print(length, exhaust(length, hows, second=second), "runs")


@pytest.mark.parametrize(
    "flaw", ["stage is not synced", "fold without sync", "other places stay", "no intent", "places are not merged"]
)
def test_the_model_needs_each_rule(flaw: str) -> None:
    def search() -> None:
        for length in (1, 2, 3):
            exhaust(length, every_how(length) if length < 3 else some_hows(3), flaws=[flaw])

    with pytest.raises(AssertionError):
        search()
