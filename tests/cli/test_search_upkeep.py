"""init --embedder, reindex and reembed: models come, vectors are made, work that is stopped goes on."""

import signal
import sys
from collections.abc import Sequence
from typing import Any

import pytest

import kiromi as library
from kiromi.embed.hashing import HashingEmbedder
from tests.cli.running import SCHEME, Program

_embed = HashingEmbedder.embed


@pytest.fixture
def modelled(bare: Program) -> Program:
    """The program on a store with a model and two memories."""
    bare("init", "--scheme", SCHEME, "--embedder", "hash")
    _fill(bare)
    return bare


def _fill(program: Program) -> None:
    program.add("Prefers aisle seats.", "--partition=user=ana")
    program.add("Deploys on Tuesdays.", "--partition=user=bob")


def _broken(self: HashingEmbedder, texts: Sequence[str], role: str) -> Any:
    raise library.EmbedderError("the model is out of order")


def _pressing(self: HashingEmbedder, texts: Sequence[str], role: Any) -> Any:
    if list(texts) != ["Is it there?"]:  # which reembed asks before it begins
        signal.raise_signal(signal.SIGINT)
    return _embed(self, texts, role)


@pytest.fixture
def pending(modelled: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The same, with one memory more, which has no vectors."""
    with monkeypatch.context() as patch:
        patch.setattr(HashingEmbedder, "embed", _broken)
        told = modelled("add", "Trains run at night.", "--partition", "user=ana").notes
    assert told.startswith("warning: a memory is stored without vectors, found by text only: ")
    assert "out of order" in told
    return modelled


# -- init --------------------------------------------------------------------------------------------------------------


def test_init_chooses_the_model_that_all_commands_use(bare: Program) -> None:
    made = bare("init", "--scheme", SCHEME, "--embedder", "hash:64")
    assert made.text == f"made {bare.root}, tenant default, scheme {SCHEME}, model hash-1-64\n"
    bare.add("Prefers aisle seats.", "--partition=user=ana")
    assert "aisle" in bare("search", "a seat?", "--mode", "vector").text
    assert bare("init", "--scheme", SCHEME, "--json").document["model"] == "hash-1-64"
    refused = bare("init", "--scheme", SCHEME, "--embedder", "hash", "--json", code=7)
    assert refused.error["kind"] == "embedder_mismatch"
    assert "is no embedder; accepted: minilm" in bare("init", "--scheme", SCHEME, "--embedder", "x", code=2).notes


def test_init_gives_a_store_that_is_there_a_model(kiromi: Program) -> None:
    _fill(kiromi)
    found = kiromi("init", "--scheme", SCHEME, "--embedder", "hash")
    assert found.text.startswith("is there already: ")
    assert found.notes == "2 memories without vectors: kiromi reindex makes them\n"
    assert kiromi("reindex").text == (
        "indexed 2 memories by words, 2 passages by meaning, made the vectors of 2 memories\n"
    )


# -- reindex -----------------------------------------------------------------------------------------------------------


def test_reindex_tells_what_it_did(filled: Program) -> None:
    assert filled("reindex").text == "indexed 4 memories by words\n"
    report = filled("reindex", "--json").document
    assert (report["documents"], report["passages"], report["pending"]) == (4, 0, 0)
    assert filled("reindex", "--within", "user=ana").text == "indexed 4 memories by words\n"
    assert filled("reindex", "--within", "color=red", code=2).notes.startswith("error: ")


def test_reindex_makes_what_is_pending(pending: Program) -> None:
    assert pending("models", "list", "--json").document["items"][0]["pending"] == 1
    assert pending("reindex").text == (
        "indexed 3 memories by words, 3 passages by meaning, made the vectors of 1 memory\n"
    )
    assert pending("models", "list", "--json").document["items"][0]["pending"] == 0


def test_reindex_exits_with_6_while_vectors_are_missing(pending: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HashingEmbedder, "embed", _broken)
    found = pending("reindex", code=6)
    assert found.text == "indexed 3 memories by words, 2 passages by meaning, 1 memory without vectors\n"
    assert found.notes.startswith("warning: vectors stay pending: ")
    assert pending("reindex", "--json", code=6).document["pending"] == 1


def test_reindex_keeps_settings(modelled: Program) -> None:
    modelled("reindex", "--language", "de", "--hnsw-m", "8", "--hnsw-ef-construction", "50", "--hnsw-ef", "40")
    with library.open(modelled.root) as store:
        entry = next(entry for entry in store.audit() if entry.op == "settings")
    assert entry.detail == {"language": "de", "hnsw_m": 8, "hnsw_ef_construction": 50, "hnsw_ef": 40}
    assert "m=0" in modelled("reindex", "--hnsw-m", "0", code=2).notes


def test_ctrl_c_ends_a_reindex_after_the_running_batch(pending: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(HashingEmbedder, "embed", _pressing)
        stopped = pending("reindex", code=130)
    assert stopped.notes.splitlines() == [
        "stopping after this batch; Ctrl-C again stops at once",
        "error: stopped; vectors that were made stay. To go on: kiromi reindex",
    ]
    assert pending("models", "list", "--json").document["items"][0]["pending"] == 0
    assert pending("search", "trains", "--mode", "text", "-q").text != ""


def test_a_terminal_shows_how_far_it_is(pending: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert "3/3" in pending("reindex").notes
    assert pending("reindex", "-q").notes == ""


# -- reembed -----------------------------------------------------------------------------------------------------------


def test_reembed_changes_the_model(modelled: Program) -> None:
    assert modelled("reembed", "hash:64").text == "searches use hash-1-64 now; made the vectors of 2 memories\n"
    models = modelled("models", "list", "--json").document["items"]
    assert [(model["name"], model["is_active"], model["vectors"]) for model in models] == [
        ("hash-1-256", False, 2),
        ("hash-1-64", True, 2),
    ]
    again = modelled("reembed", "hash:64", "--json").document
    assert (again["embedded"], again["model"]["name"]) == (0, "hash-1-64")


def test_reembed_gives_a_store_its_first_model(filled: Program) -> None:
    refused = filled("search", "seat", "--mode", "hybrid", code=2).notes
    assert refused == (
        'error: --mode hybrid needs a model, and the store has none: choose one with "kiromi reembed EMBEDDER", or'
        " use --mode text\n"
    )
    assert filled("reembed", "hash").text == "searches use hash-1-256 now; made the vectors of 4 memories\n"
    assert filled("search", "seat", "--mode", "hybrid", "-k", "1").text.startswith("1. ")


def test_ctrl_c_ends_a_reembed_and_the_same_command_goes_on(modelled: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(HashingEmbedder, "embed", _pressing)
        stopped = modelled("reembed", "hash:64", "--json", code=130)
    assert stopped.error["message"] == "stopped; vectors that were made stay. To go on: kiromi reembed hash:64"
    assert modelled("models", "list", "-q").text.split() == ["hash-1-256", "hash-1-64"]
    other = modelled("reembed", "hash:32", "--json", code=7).error
    assert (other["kind"], other["name"]) == ("migration_conflict", "hash-1-64")
    assert "add --abandon to drop what it did" in other["message"]
    assert modelled("reembed", "hash:64").text.startswith("searches use hash-1-64 now")


def test_reembed_can_be_abandoned(modelled: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(HashingEmbedder, "embed", _pressing)
        modelled("reembed", "hash:64", code=130)
    assert modelled("reembed", "hash:32", "--abandon").text == (
        "searches use hash-1-32 now; made the vectors of 2 memories\n"
    )


def test_an_embedder_that_fails_ends_a_reembed_with_6(modelled: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HashingEmbedder, "embed", _broken)
    failed = modelled("reembed", "hash:64", "--json", code=6)
    assert (failed.error["kind"], failed.out) == ("embedder_error", b"")
    assert modelled("search", "seats", "--mode", "vector", "--json", code=6).error["kind"] == "embedder_error"
    by_words = modelled("search", "seats")
    assert "aisle" in by_words.text
    assert by_words.notes.startswith("warning: searched as text only: ")
