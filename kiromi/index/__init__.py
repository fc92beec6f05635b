"""Derived indices: vectors and text; each knows what it has absorbed and can be thrown away."""
