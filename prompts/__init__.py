"""Prompt configs that come with evalkit (YAML)."""
