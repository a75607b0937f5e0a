"""The programs: `python -m experiments.train`, `evaluate`, `generate`, `prepare`, `report`, ..."""
