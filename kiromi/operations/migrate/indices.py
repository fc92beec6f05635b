"""Indices after a migration: those that there are take it in at once, sorted by the new partitions.

Search is right without it: an index catches up before it is searched. That first search would take longer.
"""

from collections.abc import Callable

from kiromi.operations.caller import Caller


def refresh(caller: Caller, on_progress: Callable[[str, int, int], None]) -> None:
    """Bring the indices that lie on disk or are open up to date; a store that was never searched has none."""
    session = caller.session
    folder = session.root.index_path(session.tenant)
    with session.lease:
        if not session.attached and not folder.is_dir():
            return
        from kiromi.operations.indexing import indices_of  # here, as the indices take a while to load

        indices = indices_of(session)
        if session.active_model is not None and indices.has_vectors():
            indices.rebuild_vectors(on_progress)
        if indices.has_text():
            indices.rebuild_text(on_progress)
