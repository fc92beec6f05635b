"""Exit codes, and errors as text and as JSON."""

import fcntl
import inspect
import warnings
from pathlib import Path
from typing import Any

import pytest

import kiromi as package
from kiromi import errors
from kiromi.cli import look
from kiromi.cli.exits import error_document, exit_code
from tests.cli.running import SCHEME, Program

_CODES = {
    "KiromiError": 1,
    "InvalidInput": 2,
    "NotFound": 3,
    "StoreNotFound": 3,
    "MemoryNotFound": 3,
    "MemoryDeleted": 4,
    "MemoryExpired": 4,
    "SnapshotNotFound": 3,
    "Conflict": 7,
    "AlreadyExists": 7,
    "VersionConflict": 7,
    "StoreLocked": 9,
    "SchemeMismatch": 7,
    "EmbedderMismatch": 7,
    "MigrationConflict": 7,
    "EmbedderError": 6,
    "IntegrityError": 8,
    "BlobMissing": 8,
    "ChecksumMismatch": 8,
    "IndexCorrupt": 8,
    "UnsupportedFormat": 8,
    "StorageError": 5,
}


def test_every_error_has_its_exit_code() -> None:
    classes = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, errors.KiromiError)]
    assert {item.__name__: exit_code(item("why")) for item in classes} == _CODES
    assert exit_code(PermissionError("no")) == 5
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(ZeroDivisionError()) == 1


def test_error_documents_hold_kind_message_and_details() -> None:
    error = errors.VersionConflict("again", id="X", expected_version=1)
    assert error_document(error) == {
        "error": {"kind": "version_conflict", "message": "again", "id": "X", "expected_version": 1}
    }
    assert error_document(PermissionError(13, "no"))["error"]["kind"] == "storage_error"
    assert error_document(KeyboardInterrupt("resume"))["error"] == {"kind": "interrupted", "message": "resume"}
    assert error_document(KeyboardInterrupt())["error"]["message"] == "interrupted"
    assert error_document(ZeroDivisionError("x"))["error"] == {"kind": "unexpected", "message": "ZeroDivisionError: x"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'.\nSee: kiromi --help\n"),
        (["lss"], "Did you mean"),
        (["ls", "--nope"], "No such option: --nope (Possible options: --store)\nSee: kiromi ls --help\n"),
        (["get"], "Missing argument 'ID'.\nSee: kiromi get --help\n"),
        (["ls", "--limit", "many"], "Invalid value for '--limit'"),
        (["audit"], "Missing command.\nSee: kiromi audit --help\n"),
    ],
)
def test_wrong_usage_is_told_with_where_to_look(bare: Program, arguments: list[str], message: str) -> None:
    found = bare.bare(*arguments, code=2)
    assert found.notes.startswith("error: ")
    assert message in found.notes
    assert found.out == b""
    assert bare.bare("--json", *arguments, code=2).error["kind"] == "usage"


def test_without_a_command_the_help_is_shown(bare: Program) -> None:
    assert "Usage: kiromi" in bare.bare(code=2).text


def test_the_store_has_to_be_named_and_there(bare: Program) -> None:
    assert "KIROMI_STORE" in bare.bare("ls", code=2).notes
    assert bare("ls", "--json", code=3).error["kind"] == "store_not_found"
    assert not bare.root.exists()


def test_the_environment_names_the_store_and_options_win(
    kiromi: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kiromi.add("x", "--partition=user=ana")
    monkeypatch.setenv("KIROMI_STORE", str(kiromi.root))
    assert len(kiromi.bare("ls", "-q").text.split()) == 1
    monkeypatch.setenv("KIROMI_STORE", str(tmp_path / "elsewhere"))
    assert len(kiromi("ls", "-q").text.split()) == 1
    assert len(kiromi.bare("ls", "-q", "--store", kiromi.root).text.split()) == 1
    monkeypatch.setenv("KIROMI_STORE", str(kiromi.root))
    monkeypatch.setenv("KIROMI_TENANT", "acme")
    kiromi.bare("ls", code=3)
    assert len(kiromi.bare("--tenant", "default", "ls", "-q").text.split()) == 1


def test_deleted_expired_and_absent_differ(kiromi: Program) -> None:
    memory = kiromi.add("x", "--partition=user=ana", "--expires-at=2000-01-01")
    assert kiromi("get", memory, "--json", code=4).error["kind"] == "memory_expired"
    kiromi("rm", memory)
    assert kiromi("get", memory, "--json", code=4).error["kind"] == "memory_deleted"
    assert kiromi("get", "01KAK9Z6B5M3V0QW8XN2RYT4HD", code=3).notes.startswith("error: no memory")


def test_a_locked_store_names_its_holder(kiromi: Program) -> None:
    with (kiromi.root / "default" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = kiromi("--wait", "0", "add", "x", "--partition", "user=ana", "--json", code=9)
    assert found.error["kind"] == "store_locked"
    assert "holder" in found.error


def test_a_bug_shows_where_it_is(kiromi: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(look, "_row", broken)
    kiromi.add("x", "--partition=user=ana")
    found = kiromi("ls", code=1)
    assert found.notes.startswith("Traceback")
    assert found.notes.endswith("error: ZeroDivisionError: a bug\n")
    monkeypatch.setattr(look, "_PAGE", 0)
    assert kiromi("ls", "--json", code=2).error["kind"] == "invalid_input"


def test_ctrl_c_is_no_traceback(kiromi: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(look, "_row", interrupted)
    kiromi.add("x", "--partition=user=ana")
    assert kiromi("ls", code=130).notes == "error: interrupted\n"


def test_warnings_of_opening_are_notes(kiromi: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = package.open

    def warned(root: str, **arguments: Any) -> package.Store:
        warnings.warn("an earlier scheme", stacklevel=1)
        return opened(root, **arguments)

    monkeypatch.setattr("kiromi.open", warned)
    assert kiromi("init", "--scheme", SCHEME).notes == "warning: an earlier scheme\n" * 2


def test_version_is_the_package_s(bare: Program) -> None:
    assert bare.bare("--version").text == f"kiromi {package.__version__}\n"


def test_a_store_on_another_filesystem_keeps_its_catalog_here(bare: Program, tmp_path: Path) -> None:
    place = ("--store", f"memory://{tmp_path.name}", "--catalog", tmp_path / "catalogs")
    assert "catalog" in bare.bare(*place[:2], "init", "--scheme", SCHEME, code=2).notes
    bare.bare(*place, "init", "--scheme", SCHEME)
    memory = bare.bare(*place, "-q", "add", "far away", "--partition", "user=ana").text.strip()
    assert bare.bare("get", memory, *place).out == b"far away"
    assert bare.bare(*place, "tenant", "list").text == "default\n"
