"""Trains, exports and checks "nano", the 1.8M-parameter vision-language model that evalkit ships."""
