"""Launchers of runs: processes on this machine, Slurm, Kubernetes, TPU virtual machines."""
