"""What one types: `python -m experiments.train`, `evaluate`, `generate`, `prepare`, `report`."""
