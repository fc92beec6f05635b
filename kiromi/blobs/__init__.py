"""Blobs: storing, settling and syncing bytes on local filesystems and object stores."""
