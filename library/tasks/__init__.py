"""The tasks: each file builds a `Task`, which says how a model learns."""
