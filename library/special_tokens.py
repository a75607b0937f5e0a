"""Tokens that no text has, which the vocabulary of a translation starts with."""

PAD, BEGIN, END = 0, 1, 2
NAMES = ("<pad>", "<begin>", "<end>")
