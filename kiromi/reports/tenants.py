"""What ``drop_tenant`` gives back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DropReport:
    """What ``drop_tenant`` removed, or would."""

    applied: bool
    tenant: str
    memories: int
    objects: int
    size_bytes: int
