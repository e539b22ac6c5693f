"""The command `runwright` of the client."""

import sys
from importlib import import_module
from importlib.util import find_spec

from runwright_client import FOLDER


def main() -> int:
    """Run the command line, with the Typer that comes along unless the whole of Runwright is installed."""
    if find_spec("runwright.cli.serve") is None:
        sys.path.insert(0, str(FOLDER / "vendor"))
    status: int = import_module("runwright.cli.entry").main()
    return status
