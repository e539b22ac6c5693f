"""Telemetry: events of the logic, and the log lines and metrics made from them."""
