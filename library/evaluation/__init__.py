"""Evaluators: each file measures one kind of quantity of a trained state."""
