"""Schemes: where memories lie, and moving them."""

from kiromi.store.handle import Handle


class Schemes(Handle):
    """Schemes: where memories lie, and moving them; a part of :class:`kiromi.Store`."""
