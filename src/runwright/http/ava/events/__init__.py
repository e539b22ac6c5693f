"""Events: the log of a tenant, and publishing to it."""
