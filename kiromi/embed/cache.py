"""Model files built on this machine: one folder for each model, published by one rename, checked before use.

A folder is whole or absent: it is filled under another name, with a manifest of the SHA-256 of each file, and then
renamed. Nothing is synced: what a power loss tears fails the check, and the model is installed again.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from kiromi.errors import EmbedderError

_MANIFEST = "manifest.json"


def models_folder() -> Path:
    """Return where models lie: ``KIROMI_MODELS``, else ``kiromi/models`` below ``XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get("KIROMI_MODELS"):
        return Path(chosen).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return (Path(caches) if os.path.isabs(caches) else Path("~/.cache").expanduser()) / "kiromi" / "models"


def check(folder: Path) -> None:
    """Compare every file of a model with its manifest; it reads them all.

    Raises:
        EmbedderError: a file is missing or not what was written.
    """
    try:
        sums: dict[str, str] = json.loads((folder / _MANIFEST).read_bytes())
        wrong = [name for name, wanted in sums.items() if _sum_file(folder / name) != wanted]
    except (OSError, ValueError, AttributeError) as error:
        raise EmbedderError(f"the model in {folder} is damaged: {error}") from error
    if wrong:
        raise EmbedderError(f"the model in {folder} is damaged: {', '.join(wrong)} is not what was written")


def publish(folder: Path, files: Mapping[str, bytes], accept: Callable[[Path], None]) -> None:
    """Make a model appear, whole, in the place of what lies there.

    Args:
        folder: where it is to lie; its parents are made.
        files: the contents, by name.
        accept: is given the finished folder under its temporary name; what it raises keeps the folder from appearing.

    Raises:
        EmbedderError: the folder cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.mkdir(parents=True)
        for name, data in files.items():
            (partial / name).write_bytes(data)
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        (partial / _MANIFEST).write_text(json.dumps(sums, indent=1))
        accept(partial)
        _replace(partial, folder)
    except OSError as error:
        raise EmbedderError(f"the model cannot be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(partial: Path, folder: Path) -> None:
    """Rename a folder over another one, which no system does in one step when that is not empty."""
    former = partial.with_suffix(".former")
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder, former)
    try:
        os.rename(partial, folder)
    except OSError:
        # Another process published the same files in between.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(former, ignore_errors=True)


def _sum_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
