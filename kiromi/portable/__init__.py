"""Import and export: files to records and memories to files, one module per format.

Readers yield a :class:`~kiromi.portable.source.SourceRecord` or a :class:`~kiromi.portable.source.BadRecord` for each
thing that they find, lazily; they raise only if there is nothing to read at all. Writers take memories one by one and
never overwrite a file. Both know nothing of a store: what is committed, compared or pruned is decided by the
operations above.

===========  =====================================================================================================
format       what comes back into an empty store
===========  =====================================================================================================
JSONL        everything that a caller gave: ids, keys, attributes with their types, times, links, bytes
Parquet      the same
Markdown     the same with metadata; without, only the bytes, keys and what front matter says
CSV          all but links; an empty title comes back as none
===========  =====================================================================================================
"""
