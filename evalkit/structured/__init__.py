"""Structured output: what constrains a reply, and how servers are told."""
