"""What callers read of jobs: lists and searches, attempts, logs, explanations."""
