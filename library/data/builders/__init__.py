"""The project's TFDS builders, one file for each dataset."""
