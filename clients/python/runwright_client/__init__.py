"""The distribution `runwright-client`: the SDK and the commands of Runwright, without the server.

Its copy of the package `runwright` is in the folder `tree`, which runwright_client.pth puts at the end of the
import path: so it is used where `runwright` itself is not installed, and only there. Where no .pth files are
read (`pip install --target`, zip archives), import from here.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).parent

if find_spec("runwright") is None:
    sys.path.append(str(FOLDER / "tree"))

from runwright import AsyncRunwright, Runwright, __version__  # noqa: E402  after the line above

__all__ = ["AsyncRunwright", "Runwright", "__version__"]
