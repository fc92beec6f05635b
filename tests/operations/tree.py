"""What lies on disk, read without kiromi."""

from pathlib import Path


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by its path relative to it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def data_files(root: Path, tenant: str = "default") -> dict[str, bytes]:
    return files_below(root / tenant / "data")


def attic_files(root: Path, tenant: str = "default") -> dict[str, bytes]:
    return files_below(root / tenant / "attic")


def staged_files(root: Path, tenant: str = "default") -> dict[str, bytes]:
    return files_below(root / tenant / "staging")
