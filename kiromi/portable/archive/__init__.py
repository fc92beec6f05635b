"""Archives: moments of a store in files of their own, which anything that reads Parquet and JSON can read.

An archive is a folder at any fsspec URL: Parquet parts of bounded size, and ``manifest.json``, which is written last
and names every part with its SHA-256. What is here knows files and nothing of a catalog: where parts lie, what columns
they have, how a manifest reads, in which order archives build on each other, and the digest that proves two states
equal.
The format is described in docs/archives.md.
"""
