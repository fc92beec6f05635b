"""The session: one per process and tenant; holds the lock, the open catalog, the published view, and commits operations."""
