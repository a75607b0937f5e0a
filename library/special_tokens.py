"""Tokens that no text has: those of translation, and those of BERT."""

# The vocabulary of a translation starts with them.
PAD, BEGIN, END = 0, 1, 2
NAMES = ("<pad>", "<begin>", "<end>")
# Padding, what stands for a word that no pieces make, the begin of an input, the end of each of its
# texts, and what hides a token.
UNKNOWN_PIECE = "[UNK]"
BERT = ("[PAD]", UNKNOWN_PIECE, "[CLS]", "[SEP]", "[MASK]")
