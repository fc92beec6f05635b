"""Folders of text files: what is read from them, and where an export puts its files."""

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from kiromi.errors import InvalidInput, StorageError
from kiromi.portable.markdown import read_folder, write_markdown
from kiromi.portable.source import BadRecord, Found, SourceRecord
from tests.portable.strategies import facts, simple


def read(root: Path, **rename: str) -> list[Found]:
    return list(read_folder(root, namespace="ns", rename=rename))


def good(root: Path, **rename: str) -> list[SourceRecord]:
    found = [record for record in read(root, **rename) if isinstance(record, SourceRecord)]
    assert len(found) == len(read(root))
    return found


def reason(root: Path, position: str) -> str:
    [bad] = [record for record in read(root) if isinstance(record, BadRecord)]
    assert bad.position == position
    return bad.reason


def test_files_are_read_in_order_whole_and_by_their_suffix(tmp_path: Path) -> None:
    for name in ["b.md", "a/z.txt", "a/y.JSON", "a/b/c.markdown", "A.md", "a.md", "pic.png", "x.md/in.md", "none"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() + b"\r\n")
    found = good(tmp_path)
    order = ["A.md", "a/b/c.markdown", "a/y.JSON", "a/z.txt", "a.md", "b.md", "x.md/in.md"]
    assert [record.position for record in found] == order
    assert [record.draft.key for record in found] == order
    assert [record.draft.content for record in found] == [name.encode() + b"\r\n" for name in order]
    assert {record.draft.namespace for record in found} == {"ns"}
    media_types = {record.draft.key: record.draft.media_type for record in found}
    assert media_types["a/b/c.markdown"] == "text/markdown"
    assert (media_types["a/y.JSON"], media_types["a/z.txt"]) == ("application/json", "text/plain")


def test_front_matter_is_read_and_stays_in_the_content(tmp_path: Path) -> None:
    text = "\ufeff---\r\ntitle: T\r\ntags: a, b\r\ncreated: 2000-06-13\r\nn: 5\r\n---\r\nbody\r\n"
    (tmp_path / "a.md").write_bytes(text.encode())
    (tmp_path / "a.txt").write_bytes(text.encode())
    markdown, plain = good(tmp_path, event_at="created")
    assert markdown.draft.content == plain.draft.content == text.encode()
    assert (markdown.draft.title, markdown.draft.tags) == ("T", ("a", "b"))
    assert markdown.draft.attributes == {"created": date(2000, 6, 13), "n": 5}
    assert markdown.draft.event_at == datetime(2000, 6, 13, tzinfo=UTC)
    assert (plain.draft.title, plain.draft.attributes) == (None, {})


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    for name in [".a.md", ".git/b.md", "c.md"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [record.position for record in good(tmp_path)] == ["c.md"]


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.md", b"a\xff", "not UTF-8 at byte 1"),
        ("a.txt", b"a\xff", "not UTF-8 at byte 1"),
        ("a.md", b"---\na: {b: 1}\n---\n", "'a' holds a mapping"),
        ("a.md", b"---\nimportance: 7\n---\n", "importance 7: expected a number from 0 to 1"),
        ("a.md", b"---\nn: 99999999999999999999\n---\n", "'n'"),
        ("a.md", b"---\ntitle: true\n---\n", "'title'"),
        (f"{'d' * 255}/{'e' * 255}/{'f' * 255}/{'g' * 255}/a.md", b"", "1,024 bytes"),
    ],
)
def test_a_bad_file_says_why_and_the_others_are_read(tmp_path: Path, name: str, content: bytes, named: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "z.md").write_text("good")
    assert named in reason(tmp_path, name)
    assert read(tmp_path)[-1].position == "z.md"


def test_a_name_that_is_not_utf_8_is_bad(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")
    except OSError:
        pytest.skip("this filesystem has no such names")
    assert "not UTF-8" in reason(tmp_path, r"caf\xe9.md")


def test_links_are_followed_within_the_folder_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.md").write_text("secret")
    (root / "a.md").write_text("a")
    (root / "inside.md").symlink_to("a.md")
    (root / "outside.md").symlink_to(tmp_path / "secret.md")
    (root / "loop").symlink_to(root)
    (root / "nowhere.md").symlink_to("absent")
    (root / "self.md").symlink_to("self.md")
    (root / "pic.png").symlink_to(tmp_path / "secret.md")
    found = {record.position: record for record in read(root)}
    assert sorted(found) == ["a.md", "inside.md", "loop", "nowhere.md", "outside.md", "self.md"]
    inside = found.pop("inside.md")
    assert isinstance(inside, SourceRecord)
    assert inside.draft.content == b"a"
    reasons = {position: record.reason for position, record in found.items() if isinstance(record, BadRecord)}
    assert "leads out of the folder" in reasons["outside.md"]
    assert "a symbolic link to a folder" in reasons["loop"]
    assert "cannot be read" in reasons["nowhere.md"]
    assert "cannot be read" in reasons["self.md"]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert reason(tmp_path, "pipe.md") == "not a regular file"


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    real = os.scandir

    def scandir(path: Path) -> object:
        if path.name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert reason(tmp_path, "sub/") == "the folder cannot be read: Permission denied"


def test_the_root_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a folder"):
        read_folder(tmp_path / "absent", namespace="")


def test_an_export_of_an_import_is_the_same_folder(tmp_path: Path) -> None:
    names = ["a.md", "sub/é.md", "sub/deep/c.txt", "d.json"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(f"---\ntitle: {name}\n---\n")
    drafts = [record.draft for record in good(tmp_path / "in")]
    written = [simple(draft.content, i, key=draft.key) for i, draft in enumerate(drafts)]
    report = write_markdown(written, tmp_path / "out")
    assert (report.count, report.renamed) == (4, ())
    assert "attributes" in report.lost[0]
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == set(names)
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()


def test_a_memory_without_key_is_named_by_its_id(tmp_path: Path) -> None:
    memory = simple("x", media_type="text/plain")
    write_markdown([memory], tmp_path / "out")
    assert (tmp_path / "out" / f"{memory.id}.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("key", "named"),
    [
        *[("../x.md", "'..'"), ("/x.md", "empty part"), ("a//x.md", "empty part"), ("./x.md", "'.'"), ("a/", "empty")],
        *[("C:/x.md", "drive letter"), ("a\\..\\x.md", "backslash"), ("x\x00.md", "control"), ("x" * 256, "255 bytes")],
        *[(".kiromi.jsonl", "metadata"), (".Kiromi.JSONL", "metadata"), ("taken", "taken"), ("taken/x", "taken")],
        *[("folder", "taken"), (".kiromi.jsonl.partial", "taken")],
    ],
)
def test_a_key_that_is_no_path_gets_a_safe_name(tmp_path: Path, key: str, named: str) -> None:
    memories = [simple("1", 1, key="taken"), simple("2", 2, key="folder/x"), simple("3", 3, key=key)]
    report = write_markdown(memories, tmp_path / "a" / "out", metadata=True)
    [renamed] = report.renamed
    assert named in renamed.reason
    assert (renamed.id, renamed.key) == (memories[2].id, key)
    assert "/" not in renamed.file
    assert (tmp_path / "a" / "out" / renamed.file).read_text() == "3"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]
    assert [facts(record.draft) for record in good(tmp_path / "a" / "out")] == [facts(memory) for memory in memories]


def test_safe_names_that_are_taken_too_are_counted_on(tmp_path: Path) -> None:
    bad = simple("bad", 3, key="../x")
    safe = f"%2E%2E%2Fx.{bad.id}.md"
    report = write_markdown(
        [simple("a", 1, key=safe), simple("b", 2, key=f"%2E%2E%2Fx.{bad.id}.1.md"), bad], tmp_path / "o"
    )
    [renamed] = report.renamed
    assert renamed.file == f"%2E%2E%2Fx.{bad.id}.2.md"
    assert (tmp_path / "o" / safe).read_text() == "a"


def test_a_path_too_long_for_the_filesystem_gets_a_safe_name(tmp_path: Path) -> None:
    folder = tmp_path
    while len(os.fsencode(folder)) < 3_400:
        folder /= "d" * 200
    folder.mkdir(parents=True)
    report = write_markdown([simple("x", key="/".join(["k" * 240] * 4))], folder)
    assert [renamed.reason for renamed in report.renamed] == ["the filesystem has no such names"]
    assert (folder / report.renamed[0].file).read_text() == "x"


def test_a_failing_disk_is_a_storage_error_and_leaves_no_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(path: Path, **_: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(Path, "mkdir", lambda path, **_: None if path == out else no_space(path))
    with pytest.raises(StorageError, match="No space left on device"):
        write_markdown([simple("x", key="sub/a.md")], out, metadata=True)
    assert list(out.iterdir()) == []


def test_an_export_needs_an_empty_or_absent_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_markdown([], tmp_path / "empty")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    with pytest.raises(InvalidInput, match="is not empty"):
        write_markdown([simple(key="a")], tmp_path / "full")
    with pytest.raises(InvalidInput, match="is not a folder"):
        write_markdown([simple(key="a")], tmp_path / "full" / "a")
    assert (tmp_path / "full" / "a").read_text() == "mine"


def exported(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    write_markdown(
        [simple("1", 1, key="a.md", title="A"), simple(b"\xff", 2, media_type="image/png")], out, metadata=True
    )
    return out


def test_files_that_the_metadata_does_not_list_are_read_too(tmp_path: Path) -> None:
    out = exported(tmp_path)
    (out / "b.md").write_text("---\ntitle: B\n---\n")
    found = good(out)
    assert [record.draft.title for record in found] == ["A", None, "B"]
    assert [record.draft.namespace for record in found] == ["", "", "ns"]


def test_a_file_that_was_changed_since_its_export_is_bad(tmp_path: Path) -> None:
    out = exported(tmp_path)
    (out / "a.md").write_text("2")
    assert "changed" in reason(out, "a.md")
    (out / "a.md").unlink()
    assert "cannot be read: No such file" in reason(out, "a.md")


@pytest.mark.parametrize(
    ("line", "position", "named"),
    [
        ("{", ".kiromi.jsonl line 3", "not JSON"),
        ("[]", ".kiromi.jsonl line 3", "expected an object with a file"),
        ('{"file": 5}', ".kiromi.jsonl line 3", "expected an object with a file"),
        ('{"file": "../secret.md"}', ".kiromi.jsonl line 3", "'..'"),
        ('{"file": "/etc/passwd"}', ".kiromi.jsonl line 3", "empty part"),
        ('{"file": "a.md"}', ".kiromi.jsonl line 3", "listed twice"),
        ('{"file": "link.md"}', "link.md", "leads out of the folder"),
        ('{"file": "nul\\u0000"}', ".kiromi.jsonl line 3", "control character"),
        ('{"file": "\\ud800"}', ".kiromi.jsonl line 3", "control character"),
        ('{"file": "sub"}', "sub", "not a regular file"),
        ('{"file": "ok.md", "colour": 5}', "ok.md", "unknown field 'colour'"),
    ],
)
def test_metadata_is_not_trusted(tmp_path: Path, line: str, position: str, named: str) -> None:
    out = exported(tmp_path)
    (tmp_path / "secret.md").write_text("secret")
    (out / "link.md").symlink_to(tmp_path / "secret.md")
    (out / "sub").mkdir()
    (out / "ok.md").write_text("ok")
    with (out / ".kiromi.jsonl").open("a") as stream:
        stream.write(line + "\n")
    reasons = {record.position: record.reason for record in read(out) if isinstance(record, BadRecord)}
    assert named in reasons[position]
    assert not any(isinstance(record, SourceRecord) and b"secret" in record.draft.content for record in read(out))


def test_the_metadata_is_lines_that_people_can_read(tmp_path: Path) -> None:
    first, second = (exported(tmp_path) / ".kiromi.jsonl").read_text().splitlines()
    assert list(json.loads(first))[:3] == ["file", "id", "namespace"]
    assert "content" not in json.loads(first)
    assert json.loads(second)["file"].endswith(".bin")
