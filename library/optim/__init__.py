"""How params move: optimizers, schedules of their rates, lookahead, averages."""
