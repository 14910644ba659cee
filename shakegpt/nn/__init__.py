"""Faster or smaller parts that are installed on a finished model."""
