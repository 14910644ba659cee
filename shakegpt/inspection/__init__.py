"""What happens inside the model: attention, the guess after each block, what training changed."""
