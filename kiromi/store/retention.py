"""Forgetting: gc and erase."""

from kiromi.store.handle import Handle


class Retention(Handle):
    """Forgetting: gc and erase; a part of :class:`kiromi.Store`."""
