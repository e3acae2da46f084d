"""Measures what evalkit costs: CPU-seconds and peak memory, on this machine, against budgets."""
