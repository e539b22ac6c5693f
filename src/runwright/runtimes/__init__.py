"""Runtimes: interpreters, their harnesses, the protocol of sandboxes, and the pool that keeps them warm."""
