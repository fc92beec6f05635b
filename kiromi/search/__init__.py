"""Ranking: how lists of candidates become one ordered list of hits."""
