"""Cron expressions, time zones, daylight saving time, timetables and Go durations; no I/O."""
