"""Compares implementations that alternate in one process.

See python -m benchmarks.NAME --help.
"""
