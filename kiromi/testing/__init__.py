"""What users of kiromi can test with: filesystems that fail on demand."""

from kiromi.testing.faults import Fault, FaultyFileSystem

__all__ = ["Fault", "FaultyFileSystem"]
