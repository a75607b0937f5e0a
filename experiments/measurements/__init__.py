"""What `python -m experiments.benchmark` measures: functions from a `Budget` to named figures."""
