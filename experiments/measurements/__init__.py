"""The measurements of `python -m experiments.benchmark`, functions that return named figures."""
