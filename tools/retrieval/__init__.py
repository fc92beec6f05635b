"""Retrieval figures that need no judge, beside plain baselines. Run ``python -m tools.retrieval --help``."""
