"""The state of workers: what their jobs keep for later jobs."""
