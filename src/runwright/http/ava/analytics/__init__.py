"""Reports on jobs that ended."""
