"""What is done with a finished run: generate, predict, explain, attack, compress, import, plan."""
