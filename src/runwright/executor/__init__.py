"""The executor: claims jobs and runs them in sandboxes, under a lease."""
