"""Self-hosted serverless workers, event agents and automations in one Python server."""

__version__ = "0.1.0"
