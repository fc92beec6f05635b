"""No index is the truth: whatever happens to its files, search answers right, and says that it built anew (P9).

Files are damaged while the store is closed, bit by bit in a process of its own: a crash would be its end.
"""

import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kiromi
from kiromi.errors import IndexWarning
from tests.operations.conftest import SCHEME
from tests.operations.finding import ANA, BOB, check_exact

WORDS = ("zebra", "late", "again", "7")
_ROOT = Path(__file__).parents[2]


def fill(root: Path) -> None:
    """Make a store whose index has a slab, a tail, dead and moved rows, and several segments of text."""
    with kiromi.open(root, scheme=SCHEME, embedder="hash:16", durability="relaxed") as store:
        store.append_many({"content": f"zebra {i}", "partition": ANA if i % 2 else BOB} for i in range(40))
        store.reindex()
    with kiromi.open(root, durability="relaxed") as store:
        ids = store.list_ids()
        store.search("zebra")
        store.append("late zebra", {"user": "new"})
        store.search("zebra", k=1)
        store.delete(ids[0])
        store.update(ids[1], content="zebra again")
        store.update(ids[2], attributes={"user": "moved"})
        store.search("zebra")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound") / "store"
    fill(root)
    return root


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of a store to be damaged; it is whole again at the end."""
    root = tmp_path / "store"
    shutil.copytree(sound, root)
    yield root
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with kiromi.open(root) as store:
            check_exact(store, 16, words=WORDS)


def index_of(root: Path) -> Path:
    return root / "default" / "index"


def index_files(root: Path) -> list[Path]:
    return sorted(path for path in index_of(root).rglob("*") if path.is_file())


def segments(root: Path) -> list[str]:
    """Return the files that are never changed: another build has others."""
    return [path.name for path in index_files(root) if path.suffix not in (".json", ".bin")]


def look(root: Path, *, read_only: bool = False) -> list[str]:
    """Check what search gives and return what it warned of."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        with kiromi.open(root, read_only=read_only, durability="relaxed") as store:
            check_exact(store, 16, words=WORDS)
            first = store.search("zebra", k=1)[0]
            assert len(store.related(first.id, k=50)) == 39
    assert {warning.category for warning in given} <= {IndexWarning}
    return [str(warning.message) for warning in given]


def test_a_sound_index_is_used(damaged: Path) -> None:
    names = segments(damaged)
    assert look(damaged) == []
    assert segments(damaged) == names, "it was not built anew"


# -- bits --------------------------------------------------------------------------------------------------------------


def flip_many(root: Path, seed: int, count: int) -> None:
    """Flip single bits of every file in turn, and look each time."""
    rng = random.Random(seed)
    aside = root.with_name("index")
    shutil.copytree(index_of(root), aside)
    names = [path.relative_to(index_of(root)) for path in index_files(root)]
    rng.shuffle(names)
    for number in range(count):
        path = index_of(root) / names[number % len(names)]
        data = bytearray(path.read_bytes())
        bit = rng.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        read_only = number % 4 == 3
        said = look(root, read_only=read_only)
        # Besides what is needed, the heads have some former ones.
        assert said or path.name == "heads.json", f"nobody noticed bit {bit} of {names[number % len(names)]}"
        if not read_only:
            assert look(root) == [], "it was built anew, and stays so"
        shutil.rmtree(index_of(root))
        shutil.copytree(aside, index_of(root))
    print(f"{count} flips survived", flush=True)


def flip_elsewhere(root: Path, seed: int, count: int) -> None:
    code = f"from tests.operations.test_search_damage import *; flip_many(Path({str(root)!r}), {seed}, {count})"
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout == f"{count} flips survived\n"


def test_flipped_bits_are_noticed(damaged: Path) -> None:
    flip_elsewhere(damaged, seed=1, count=14)


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_noticed_during_a_search_is_not_opened_again(damaged: Path, read_only: bool) -> None:
    """The matrix is checked block by block when it is used; in a read-only store it stays as it is."""
    (path,) = [path for path in index_files(damaged) if path.suffix == ".f32"]
    sound = path.read_bytes()
    path.write_bytes(bytes([sound[0] ^ 64]) + sound[1:])
    with kiromi.open(damaged, read_only=read_only) as store:
        first = store.list_ids()[0]
        with pytest.warns(IndexWarning) as given:
            assert len(store.related(first, k=50)) == 39
        assert len(given) == 1
        check_exact(store, 16, words=WORDS)
    if read_only:
        path.write_bytes(sound)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(4))
def test_hundreds_of_flipped_bits_are_noticed(damaged: Path, seed: int) -> None:
    flip_elsewhere(damaged, seed=100 + seed, count=200)


# -- files -------------------------------------------------------------------------------------------------------------


def cut_and_lose(root: Path, seed: int, count: int) -> None:
    """Cut a file to its half or to nothing, or remove it, and look each time."""
    rng = random.Random(seed)
    aside = root.with_name("index")
    shutil.copytree(index_of(root), aside)
    names = [path.relative_to(index_of(root)) for path in index_files(root)]
    for number, name in enumerate(rng.sample(names, min(count, len(names)))):
        path = index_of(root) / name
        match number % 3:
            case 0:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            case 1:
                path.write_bytes(b"")
            case _:
                path.unlink()
        # Without a manifest there is no index, and nothing to warn about.
        is_silent = name.name == "manifest.json" and number % 3 == 2
        assert bool(look(root)) is not is_silent, name
        shutil.rmtree(index_of(root))
        shutil.copytree(aside, index_of(root))


def test_cut_and_lost_files_are_noticed(damaged: Path) -> None:
    cut_and_lose(damaged, seed=1, count=9)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(6))
def test_all_cut_and_lost_files_are_noticed(damaged: Path, seed: int) -> None:
    cut_and_lose(damaged, seed, count=100)


def lose(path: Path) -> None:
    shutil.rmtree(path)


def replace_by_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("I was a folder")


def mix_up(path: Path) -> None:
    vectors, text = path.parent / "vectors-1", path.parent / "text"
    vectors.rename(path.parent / "aside")
    text.rename(vectors)
    (path.parent / "aside").rename(text)


def add_others(path: Path) -> None:
    (path / "unknown.bin").write_bytes(b"x")
    (path / "slab-0000.d").mkdir()
    (path.parent / "scratch").mkdir(exist_ok=True)
    (path.parent / "scratch" / "unknown").write_bytes(b"x")


@pytest.mark.parametrize("name", ["vectors-1", "text"])
@pytest.mark.parametrize("harm", [lose, mix_up, add_others])
def test_lost_and_strange_folders_do_no_harm(damaged: Path, name: str, harm: Callable[[Path], None]) -> None:
    harm(index_of(damaged) / name)
    assert bool(look(damaged)) is (harm is mix_up)


def test_an_index_that_is_lost_as_a_whole_is_built_without_a_word(damaged: Path) -> None:
    shutil.rmtree(index_of(damaged))
    assert look(damaged) == []
    shutil.rmtree(index_of(damaged))
    assert look(damaged, read_only=True) == []
    assert not index_of(damaged).exists()


def test_an_index_that_is_lost_while_the_store_is_open_does_no_harm(damaged: Path) -> None:
    with kiromi.open(damaged, durability="relaxed") as store:
        check_exact(store, 16, words=WORDS)
        shutil.rmtree(index_of(damaged))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IndexWarning)
            store.append("zebra once more", ANA)
            check_exact(store, 16, words=WORDS)
            store.close()


# -- indices of others, and of other times -----------------------------------------------------------------------------


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    index_of(one).rename(aside)
    index_of(other).rename(index_of(one))
    aside.rename(index_of(other))


def test_the_index_of_another_store_is_not_used(damaged: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    fill(other)
    with kiromi.open(other) as store:
        store.update(store.list_ids()[5], content="zebra of the other")
        store.search("zebra")
    swap(damaged, other)
    assert look(damaged)
    assert look(other)
    assert look(other) == []


def test_an_older_index_catches_up(damaged: Path, tmp_path: Path) -> None:
    shutil.copytree(index_of(damaged), tmp_path / "older")
    with kiromi.open(damaged) as store:
        ids = store.list_ids()
        store.delete(ids[3])
        store.update(ids[4], content="zebra newer")
        store.update(ids[5], attributes={"user": "cleo"})
        store.append("late zebra newest", ANA)
        store.delete(store.append("zebra gone", ANA).id)
        store.undelete(store.delete(ids[6]).id)
        check_exact(store, 16, words=WORDS)
    shutil.rmtree(index_of(damaged))
    (tmp_path / "older").rename(index_of(damaged))
    generation = [path.parent.name for path in index_files(damaged) if path.suffix == ".f32"]
    with kiromi.open(damaged) as store:
        check_exact(store, 16, words=(*WORDS, "newer", "newest", "gone"))
        assert len(store.search("zebra", mode="vector", within={"user": "cleo"})) == 1
    assert [path.parent.name for path in index_files(damaged) if path.suffix == ".f32"] == generation, "built anew"


def test_an_index_of_the_future_is_not_used(damaged: Path, tmp_path: Path) -> None:
    """As after the catalog was restored from a backup."""
    backup = tmp_path / "backup"
    shutil.copytree(damaged, backup)
    with kiromi.open(damaged) as store:
        store.append("late zebra of the future", ANA)
        store.update(store.list_ids()[3], content="zebra changed")
        store.search("zebra")
    shutil.rmtree(index_of(backup))
    shutil.copytree(index_of(damaged), index_of(backup))
    assert look(backup)


def test_an_index_of_another_history_is_not_used(damaged: Path, tmp_path: Path) -> None:
    """As after a backup was restored and written to: it is of the same store, and as long."""
    backup = tmp_path / "backup"
    shutil.copytree(damaged, backup)
    for root, name in ((damaged, "one"), (backup, "other")):
        with kiromi.open(root) as store:
            store.append(f"late zebra {name}", ANA)
            store.update(store.list_ids()[3], content=f"zebra of the {name}")
            store.search("zebra")
    shutil.rmtree(index_of(backup))
    shutil.copytree(index_of(damaged), index_of(backup))
    with kiromi.open(backup) as store:
        with pytest.warns(IndexWarning, match="history"):
            check_exact(store, 16, words=(*WORDS, "one", "other"))
        assert len(store.search("other", mode="text")) == 2


def test_an_index_of_another_model_is_not_used(damaged: Path) -> None:
    with kiromi.open(damaged) as store:
        store.reembed("hash:12")
        store.search("zebra")
    shutil.rmtree(index_of(damaged) / "vectors-2")
    shutil.copytree(index_of(damaged) / "vectors-1", index_of(damaged) / "vectors-2")
    with kiromi.open(damaged) as store:
        with pytest.warns(IndexWarning, match="another"):
            assert len(store.search("zebra", mode="vector", k=50)) == 40
        check_exact(store, 12, words=WORDS)
        store.reembed("hash:16")


def test_an_index_that_cannot_be_saved_is_a_warning(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kiromi.index.text.index import TextIndex

    def full(self: TextIndex) -> None:
        raise OSError(28, "No space left on device")

    store = kiromi.open(damaged)
    store.append("zebra unsaved", ANA)
    check_exact(store, 16)
    store.search("zebra")
    with monkeypatch.context() as broken:
        broken.setattr(TextIndex, "save", full)
        with pytest.warns(IndexWarning, match="No space left"):
            store.close()
    with kiromi.open(damaged) as store:
        check_exact(store, 16, words=(*WORDS, "unsaved"))
