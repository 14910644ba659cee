"""Says that a run has ended: a command of the user's, the terminal's notification, its bell."""
