"""Optimizers, learning-rate schedules, lookahead and phases."""
