"""The programs that run inside a sandbox; they cannot import this package."""
