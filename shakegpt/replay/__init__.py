"""A run trained again, to the bit: what each update did to the probability of one token."""
