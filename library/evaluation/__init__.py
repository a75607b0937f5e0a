"""Evaluators: what is measured of a trained state, one file a kind."""
