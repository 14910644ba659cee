"""Repeat the training of a run bit for bit, to attribute a token's probability to its updates."""
