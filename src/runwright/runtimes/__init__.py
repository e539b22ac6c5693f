"""Runtimes: sandboxes, the pool that keeps them warm, and the protocol spoken with them."""
