"""The commands of `shakegpt-tui` besides the UI itself: picture, replay and serve."""
