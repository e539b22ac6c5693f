"""Installs what a bundle depends on, in a sandbox that reaches the registry and nothing else."""
