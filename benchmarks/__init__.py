"""Benchmarks that come with evalkit, a module each."""
