"""Versions of a worker's code: deploy, list, roll back."""
