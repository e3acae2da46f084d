"""The demonstration model that evalkit ships: weights and model card."""
