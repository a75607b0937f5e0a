"""The library: tasks, models, data, the loop that trains them and the reports they end in."""
