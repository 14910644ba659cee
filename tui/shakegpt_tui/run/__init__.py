"""What the screens show of a run, worked out from its log. No widgets."""
