"""Queue depth."""
