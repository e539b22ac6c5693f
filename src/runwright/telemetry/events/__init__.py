"""The catalogue of telemetry events, a module for each subject."""
