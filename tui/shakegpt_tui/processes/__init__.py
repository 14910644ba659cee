"""The processes that the terminal UI starts: trainer, sampler and adviser."""
