"""Compression of networks: pruned kernels, low-rank kernels and kernels of 8-bit integers."""
