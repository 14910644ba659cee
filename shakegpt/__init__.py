"""Finetune GPT-2 on Shakespeare, watch it learn, and check every number of the talk.

The run log (`shakegpt.runlog`) is the only interface between the parts: the trainer writes it; the
terminal UI, the console, the figures, the deck and the claims read it.
"""

__version__ = "0.1.0"
