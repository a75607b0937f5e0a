"""Meshes, sharding rules and the two strategies, `jit` and `pmap`."""
