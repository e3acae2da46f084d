"""Cluster configs that come with evalkit (YAML)."""
