"""Secrets, whose values are never returned."""
