"""Networks for text and other sequences."""
