"""Every Python example of the pages runs, and prints what the comment behind each ``print`` says.

The examples of a page run top to bottom and share their names, in a folder of their own.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.blobs.s3 import s3_options
from tests.docs.pages import PAGES, blocks, name_of, text_of

__all__ = ["s3_options"]

_PRINTED = re.compile(r"^\s*print\(.*\)  # (.+)$", re.MULTILINE)
_WITH_EXAMPLES = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", _WITH_EXAMPLES, ids=name_of)
def test_examples_run_and_print_what_they_say(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "s3://" in "".join(block.code for block in blocks(page, "python")):
        _reach_s3(request.getfixturevalue("s3_options"), monkeypatch)
    names: dict[str, Any] = {"__name__": name_of(page)}
    for block in blocks(page, "python"):
        # Line numbers of errors are those of the page.
        code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
        with warnings.catch_warnings():
            exec(code, names)
        assert capsys.readouterr().out.splitlines() == _PRINTED.findall(block.code), f"{page}:{block.line}"


def _reach_s3(options: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    """Let S3 be the server of the tests, with a bucket of the name that the pages use."""
    import s3fs

    patch.setenv("AWS_ENDPOINT_URL", options["client_kwargs"]["endpoint_url"])
    s3fs.S3FileSystem(**options).mkdir("bucket")


def test_the_examples_are_found() -> None:
    assert {"README.md", "docs/python.md", "docs/format.md"} <= {name_of(page) for page in _WITH_EXAMPLES}
    assert all(_PRINTED.search(text_of(page)) for page in _WITH_EXAMPLES)
