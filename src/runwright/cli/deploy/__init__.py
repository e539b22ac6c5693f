"""`runwright deploy`: plan and apply of a `runwright.toml`."""

from runwright.cli.deploy.command import deploy

__all__ = ["deploy"]
