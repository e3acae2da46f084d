"""Preparers that come with evalkit, a module each: where a benchmark's rows come from."""
