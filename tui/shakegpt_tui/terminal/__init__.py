"""The terminal: whether there is one, its encoding, and its driver."""
