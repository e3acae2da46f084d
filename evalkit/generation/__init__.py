"""Asking the model: content key, request, client, window, append-only log."""
