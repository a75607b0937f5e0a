"""Functions in closed form that a run minimizes in place of a network's loss."""
