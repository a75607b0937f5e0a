"""The one loop, its checkpoints, its clock and its log."""
