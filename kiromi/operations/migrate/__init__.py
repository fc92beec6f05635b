"""Scheme migration: every live memory to where a new scheme puts it, while the store is in use."""
