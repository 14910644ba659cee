"""The run log and run directories: records, writing, following, and what a run adds up to."""
