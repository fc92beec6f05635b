"""Facts about the machine and its software, without which figures cannot be compared."""

import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("duckdb", "fsspec", "hnswlib", "numpy", "pyarrow", "pydantic", "tantivy")


def machine_facts(folder: Path) -> dict[str, str]:
    """Return what the figures depend on; ``folder`` is where files are written."""
    facts = {
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "filesystem": filesystem_of(folder),
        "python": platform.python_version(),
    }
    return facts | {name: importlib.metadata.version(name) for name in PACKAGES}


def filesystem_of(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the filesystem that holds ``folder``, such as ``ext4``; ``unknown`` without ``mounts``.

    ``mounts`` has a mount on each line: device, mount point, type, ... (proc(5)).
    """
    if not mounts.exists():
        return "unknown"
    kinds = {}
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        kinds[Path(point.replace("\\040", " "))] = kind
    resolved = folder.resolve()
    return next((kinds[parent] for parent in (resolved, *resolved.parents) if parent in kinds), "unknown")
