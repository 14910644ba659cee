"""Texts, speakers, vocabularies, and the windows that training sees."""
