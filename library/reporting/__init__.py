"""Figures, the report of a run and the table of results."""
