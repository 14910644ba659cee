"""What runs around the loop: setup, optimizer, supervision, evaluation, saved states."""
