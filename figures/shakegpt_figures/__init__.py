"""The talk's three figures, drawn from a run log: training, architecture, generation.

Nothing here imports torch, and matplotlib is imported only by what draws (`style` and the figures).
"""
