"""Every console transcript of the pages is what the real program prints; ids, times, hashes and scores may differ.

The pages are the golden files: ``KIROMI_UPDATE_DOCS=1`` writes what was printed into them. The README is typed as its
reader does, with the commands in between of which it shows no output: they succeed, and what follows is still true.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import stable
from tests.docs.pages import PAGES, README, blocks, name_of, text_of
from tests.docs.transcripts import Step, read_steps, run_steps

_TOLD = [page for page in PAGES if blocks(page, "console")]
# What needs a network, or a corpus, which has a test of its own.
_UNTYPED = ("pip install", "PEPS=")
_FAILED = "this failed: "


@pytest.mark.parametrize("page", _TOLD, ids=name_of)
def test_transcripts_are_what_the_program_prints(page: Path, tmp_path: Path, is_updating: bool) -> None:
    told = [read_steps(block.code) for block in blocks(page, "console")]
    between = _commands(page) if page == README else []
    typed = sorted([*zip([block.line for block in blocks(page, "console")], told, strict=True), *between])
    (tmp_path / "work").mkdir()
    printed = iter(run_steps([step for _, steps in typed for step in steps], tmp_path / "work"))
    ran = {line: [next(printed) for _ in steps] for line, steps in typed}
    assert not [step.output for line, _ in between for step in ran[line] if _FAILED in step.output]
    found = [ran[block.line] for block in blocks(page, "console")]
    assert "Traceback" not in "".join(_text(found)), "\n".join(_text(found))
    if is_updating:
        if _text(found) != _text(told):
            _write(page, found)
        return
    # Ids are numbered over the whole page, so that the same one means the same memory in every step.
    assert _text(found) == _text(told), "KIROMI_UPDATE_DOCS=1 writes what is printed into the page"


def _commands(page: Path) -> list[tuple[int, list[Step]]]:
    """Return each command of the shell blocks of a page, by the block's line; one that fails says so."""
    shown = [block for block in blocks(page, "sh") if not any(word in block.code for word in _UNTYPED)]
    return [
        (
            block.line,
            [Step(f"{line}\n[ $? = 0 ] || echo '{_FAILED}{block.line}'", "") for line in block.code.splitlines()],
        )
        for block in shown
    ]


def _text(transcripts: list[list[Step]]) -> list[str]:
    return stable("".join(str(step) for steps in transcripts for step in steps)).splitlines()


def _write(page: Path, transcripts: list[list[Step]]) -> None:
    lines = text_of(page).splitlines()
    for block, steps in reversed(list(zip(blocks(page, "console"), transcripts, strict=True))):
        start = block.line - 1
        lines[start : start + len(block.code.splitlines())] = "".join(map(str, steps)).splitlines()
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_transcript_reads_back() -> None:
    code = "$ cat > note.md <<'EOF'\n> a\n>\n> b\n> EOF\n$ cat note.md\na\n\nb\n$ true\n"
    steps = read_steps(code)
    assert [step.command for step in steps] == ["cat > note.md <<'EOF'\na\n\nb\nEOF", "cat note.md", "true"]
    assert [step.output for step in steps] == ["", "a\n\nb\n", ""]
    assert "".join(map(str, steps)) == code


def test_a_transcript_keeps_the_shell_and_its_state(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    commands = ["cat > note.md <<'EOF'\n> a\n> EOF", "export WORD=one; cd ..", "echo $WORD; ls; false", "echo $?"]
    steps = read_steps("".join(f"$ {command}\n" for command in [*commands, "ls none", "printf x", "cat work/note.md"]))
    outputs = list(_outputs(run_steps(steps, tmp_path / "work")))
    assert outputs[:4] == ["", "", "one\nwork\nwork-bin\n", "1\n"]
    assert "none" in outputs[4]
    assert outputs[5:] == ["x\n", "a\n"]


def _outputs(steps: list[Step]) -> Iterator[str]:
    return (step.output for step in steps)
