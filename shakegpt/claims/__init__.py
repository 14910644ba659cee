"""The talk's claims, checked against a run."""
