"""The SQL of lists, attempts and logs."""
