"""Text search: analysis, query language, and a tantivy index that can be thrown away."""
