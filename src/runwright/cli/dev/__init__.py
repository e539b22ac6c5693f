"""`runwright dev`: a folder on a local server, deployed and run on save."""

from runwright.cli.dev.command import dev

__all__ = ["dev"]
