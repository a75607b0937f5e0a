"""TFDS builders of the project, one file a data set."""
