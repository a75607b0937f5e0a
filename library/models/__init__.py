"""What systems are: flax.linen modules, one paper, one file."""
