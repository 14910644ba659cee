"""The pocket: a small GPT-2 that ships with the package, and the recipe that made it.

`python -m shakegpt.pocket TEXT … --out-dir RUN` pretrains one on any text; README.md beside this
file is its model card.
"""
