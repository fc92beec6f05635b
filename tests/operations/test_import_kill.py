"""SIGKILL at moments spread evenly over an import: what was acknowledged is there, and importing again completes it.

Each killed import runs in a process of its own upon a new store. It says when pass 2 begins and prints a line for every
batch that is acknowledged; the moments of these lines and of the exit divide it. The kills are spread evenly over these
divisions, so that they reach the end also when a run is slower than another. Where in its division a kill lies is drawn
by a seeded generator, upon the durations of an undisturbed import.
"""

import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import kiromi
from kiromi import Store

SCHEME = "topic={topic}"
SEED = 20_260_101
_COMMITTED = re.compile(r"committed batch (\d+): seq (\d+), ([\d,]+) ")
_IMPORT = """
import sys
import kiromi

def on_progress(done, total):
    if total is None and done == int(sys.argv[4]):
        print("writing", flush=True)

def on_batch(batch):
    print(f"committed batch {batch.number}: seq {batch.seq}, {len(batch.ids)} memories", flush=True)

with kiromi.open(sys.argv[1]) as store:
    store.import_from(sys.argv[2], batch_size=int(sys.argv[3]), on_batch=on_batch, on_progress=on_progress)
"""


@dataclass(frozen=True)
class Run:
    """A killed or finished import."""

    acknowledged: int
    """Memories in the batches whose line was read."""
    moments: Sequence[float]
    """When each line was read, and the end, in seconds."""
    landed: bool
    """Whether the kill came before the exit."""

    def duration(self, division: int) -> float:
        """Return the seconds from a line to the next, or to the end."""
        return self.moments[division + 1] - self.moments[division]


@dataclass(frozen=True)
class Setting:
    """What is imported, and how."""

    source: Path
    files: int
    batch_size: int
    through_cli: bool

    def command(self, root: Path) -> list[str]:
        if self.through_cli:
            return [sys.executable, "-m", "kiromi.cli", "--store", str(root), "import", str(self.source)]
        return [sys.executable, "-c", _IMPORT, str(root), str(self.source), str(self.batch_size), str(self.files)]

    def run(self, root: Path, kill_after: tuple[int, float] | None) -> Run:
        """Import in a process of its own; kill it so many seconds after the line of that number, from 0."""
        with kiromi.open(root, scheme=SCHEME):
            pass
        process = subprocess.Popen(self.command(root), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines: list[str] = []
        moments: list[float] = []
        arrived = threading.Semaphore(0)

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith(("writing", "committed")):
                    moments.append(time.perf_counter())
                    arrived.release()
            arrived.release(1_000_000)

        reader = threading.Thread(target=read)
        reader.start()
        if kill_after is not None:
            line_number, seconds = kill_after
            for _ in range(line_number + 1):
                arrived.acquire()
            time.sleep(seconds)
            process.kill()
        reader.join()
        code = process.wait()
        moments.append(time.perf_counter())
        assert process.stdout is not None
        process.stdout.close()
        assert code in ((0, -9) if kill_after is not None else (0,)), "".join(lines)
        # A line that the kill cut short is no acknowledgement.
        found = [_COMMITTED.match(line) for line in lines if line.endswith("\n")]
        return Run(sum(int(match[3].replace(",", "")) for match in found if match), moments, code == -9)


def make_source(root: Path, files: int) -> Path:
    for number in range(files):
        path = root / f"{number % 20:02}" / f"{number:06}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"---\ntitle: Note {number}\ntopic: t{number % 7}\n---\n" + f"note {number} " * (number % 40))
    return root


def paths_in_order(source: Path) -> list[str]:
    """Return the keys in the order in which they are imported."""
    return [path.relative_to(source).as_posix() for path in sorted(source.rglob("*.md"))]


def check(store: Store, root: Path, source: Path, acknowledged: Sequence[str]) -> None:
    """Check that a reopened store is whole and holds what was acknowledged."""
    problems = store.verify(read_data=True).problems
    assert not problems
    memories = store.get_many(store.list_ids())
    found = {memory.key: memory.data for memory in memories}
    assert found.keys() >= set(acknowledged)
    assert all(data == (source / str(key)).read_bytes() for key, data in found.items())
    # The same by hand: exactly the live memories lie under data/, and nothing is left in staging/.
    tenant = root / "default"
    lying = {path.relative_to(tenant).as_posix() for path in (tenant / "data").rglob("*") if path.is_file()}
    assert lying == {memory.path for memory in memories}
    assert not [path for path in (tenant / "staging").rglob("*") if path.is_file()]


def complete(store: Store, setting: Setting) -> None:
    """Check that importing again completes the import and that one more finds nothing to do."""
    before = store.count()
    report = store.import_from(setting.source, batch_size=setting.batch_size)
    assert (report.added, report.changed, report.unchanged) == (setting.files - before, 0, before)
    seq = store.seq
    report = store.import_from(setting.source, batch_size=setting.batch_size, prune=True)
    assert (report.added, report.changed, report.unchanged, report.pruned) == (0, 0, setting.files, 0)
    assert store.seq == seq
    assert store.audit_verify().is_clean


def kill_many(tmp_path: Path, setting: Setting, kills: int, *, complete_all: bool) -> list[tuple[Run, int]]:
    """Kill so many imports; return them with the number of memories that were there afterwards."""
    undisturbed = setting.run(tmp_path / "undisturbed", None)
    assert undisturbed.acknowledged == setting.files
    divisions = len(undisturbed.moments) - 1
    order = paths_in_order(setting.source)
    randomly = random.Random(SEED)
    runs: list[tuple[Run, int]] = []
    for number in range(kills):
        division, share = divmod(divisions * (number + randomly.random()) / kills, 1)
        root = tmp_path / f"store{number}"
        run = setting.run(root, (int(division), share * undisturbed.duration(int(division))))
        with kiromi.open(root) as store:
            check(store, root, setting.source, order[: run.acknowledged])
            runs.append((run, store.count()))
            assert runs[-1][1] % setting.batch_size == 0 or runs[-1][1] == setting.files
            if complete_all or number == kills - 1:
                complete(store, setting)
                check(store, root, setting.source, order)
        shutil.rmtree(root)  # fifty stores of twenty thousand files are too many to leave behind
    return runs


def histogram(runs: Sequence[tuple[Run, int]], setting: Setting) -> str:
    """Return how many kills left how many tenths of the memories behind."""
    tenths = Counter(10 * there // setting.files for run, there in runs if run.landed)
    bars = [f"{tenth * 10:3} % there: {'#' * tenths[tenth]}" for tenth in range(11)]
    landed = sum(run.landed for run, _ in runs)
    return "\n".join([f"{landed} of {len(runs)} kills landed between the first write and the exit", *bars])


def test_a_killed_import_keeps_what_it_acknowledged_and_is_completed_by_the_next(tmp_path: Path) -> None:
    setting = Setting(make_source(tmp_path / "notes", 300), 300, 20, through_cli=False)
    runs = kill_many(tmp_path, setting, 8, complete_all=True)
    assert any(run.landed for run, _ in runs), histogram(runs, setting)


@pytest.mark.torture
@pytest.mark.parametrize("through_cli", [False, True], ids=["library", "cli"])
def test_fifty_kills_of_an_import_of_twenty_thousand(
    tmp_path: Path, through_cli: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = Setting(make_source(tmp_path / "notes", 20_000), 20_000, 1_000, through_cli)
    runs = kill_many(tmp_path, setting, 50, complete_all=False)
    with capsys.disabled():
        print(f"\n{histogram(runs, setting)}")
    assert sum(run.landed for run, _ in runs) >= 40
