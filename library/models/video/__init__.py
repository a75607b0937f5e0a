"""Networks for clips: images that follow each other."""
