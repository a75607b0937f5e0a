"""Published weights of other projects: how files are read, and how their names map to models."""
