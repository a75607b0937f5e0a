"""Gaussian diffusion: noise schedules, the diffusion process, its variational bound, samplers."""
