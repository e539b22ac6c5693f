"""Schedules and ticks: the clock, and the jobs that it makes."""
