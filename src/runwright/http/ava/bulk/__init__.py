"""Bulk operations on jobs."""
