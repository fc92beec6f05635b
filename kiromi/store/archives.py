"""Archives: moments of a store in files of their own."""

from kiromi.store.handle import Handle


class Archives(Handle):
    """Archives: moments of a store in files of their own; a part of :class:`kiromi.Store`."""
