"""Where to run it: processes on this machine, Slurm, Kubernetes, TPU virtual machines."""
