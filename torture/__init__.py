"""The torture room: what is done to shakegpt so that nothing is lost and nothing let in.

`make torture` runs every list in full and prints a table of cases tried, survived and lost;
`python -m torture --short` is the form that takes a minute, and tests/torture/ holds it to no loss.
"""
