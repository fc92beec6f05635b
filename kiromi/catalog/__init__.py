"""The catalog: one DuckDB file per tenant with rows, history, audit log and what is pending."""
