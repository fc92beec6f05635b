"""Checks: what ``verify`` looks at, one kind of truth per module. Each returns problems and changes nothing unasked."""
