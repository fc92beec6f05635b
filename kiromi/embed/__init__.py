"""Embedders: what turns texts into vectors, and how long texts are cut into passages."""
