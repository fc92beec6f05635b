"""The session: one per process and tenant; holds the lock, the catalog and the published view, and commits."""
