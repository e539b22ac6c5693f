"""The SQL of schedules and ticks."""
