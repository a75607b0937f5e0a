"""The library: tasks, models, data, the training loop and the reports."""
