"""Notification of a run's end: a command of the user, the terminal's notification, its bell."""
