"""Checkpoint directories: finding, downloading, reading and writing."""
