"""httpx without its command line, which would import Pygments, Rich and Click.

Those take three times as long as httpx itself, and `runwright jobs list` has a quarter of a second.
"""

import sys
from typing import Final

_COMMAND: Final = "httpx._main"
_ABSENT: Final = object()

_before: Final = sys.modules.get(_COMMAND, _ABSENT)
sys.modules.setdefault(_COMMAND, None)  # type: ignore[arg-type]  # then importing it fails

import httpx  # noqa: E402  after the line above
from httpx_sse import EventSource, ServerSentEvent  # noqa: E402  as above

if _before is _ABSENT:
    del sys.modules[_COMMAND]

__all__ = ["EventSource", "ServerSentEvent", "httpx"]
