"""Benchmarks: kiromi's figures beside the raw limits of the machine. Run ``python -m tools.bench --help``."""
