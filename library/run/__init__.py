"""A run: from a config to a state that is trained, logged and saved."""
