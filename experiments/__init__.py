"""The programs, such as `python -m experiments.train`, `evaluate`, `generate` and `report`."""
