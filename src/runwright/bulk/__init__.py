"""Bulk operations: cancel or retry many jobs with one request."""
