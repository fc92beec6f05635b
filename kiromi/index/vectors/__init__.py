"""The vector index: passages by place in a mapped matrix, a tail of recent ones, and a graph when there are many.

It is derived: it knows no catalog, only what it was given and up to which seq. ``index.py`` is the place to begin.
"""

from kiromi.index.vectors.building import BuildStopped
from kiromi.index.vectors.index import VectorIndex
from kiromi.index.vectors.inputs import GraphSettings, PassageKeys, VectorScope
from kiromi.index.vectors.view import VectorView

__all__ = ["BuildStopped", "GraphSettings", "PassageKeys", "VectorIndex", "VectorScope", "VectorView"]
