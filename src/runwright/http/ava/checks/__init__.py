"""Checking definitions without creating anything."""
