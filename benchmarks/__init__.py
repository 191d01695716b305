"""Contestants take turns in one process: python -m benchmarks.NAME --help."""
