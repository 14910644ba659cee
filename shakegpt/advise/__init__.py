"""Which learning rate, batch and number of steps suit a text and a model: measured by a probe."""
