"""Organizations: the caller's own."""
