"""Names of files in a project."""

from typing import Final

FILE_NAME: Final = "runwright.toml"
