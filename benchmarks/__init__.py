"""Benchmarks of cylstm beside the libraries it has to beat: ``python -m benchmarks --help``."""
