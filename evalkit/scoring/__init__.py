"""Measures that benchmarks share: pure functions from a row and a reply to a score."""
