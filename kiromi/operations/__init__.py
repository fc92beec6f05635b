"""Operations: one verb, one module. Each plans against the published view and commits through the write protocol."""
