"""Telemetry: typed events, and the log lines and metrics that are made from them."""
