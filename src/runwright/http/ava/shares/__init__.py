"""The shares of jobs."""
