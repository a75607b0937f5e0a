"""How systems learn: each file builds a `Task` from a model."""
