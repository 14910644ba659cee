"""The talk's figures, drawn from a run log: training, architecture, generation, samples, inside.

Nothing here imports torch, and matplotlib is imported only by what draws (`style` and the figures).
"""
