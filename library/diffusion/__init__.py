"""Gaussian diffusion: noise schedules, what follows from them, and samplers."""
