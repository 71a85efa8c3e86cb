"""Measure the methods and what the engine costs: ``python -m benchmarks --help``."""
