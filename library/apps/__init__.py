"""Uses of a run: generate, predict, explain, attack, compress, import and export weights, plan."""
