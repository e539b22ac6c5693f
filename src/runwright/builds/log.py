"""What an installer prints, kept within bounds: its beginning and its end."""

import re
from typing import Final

LOG_BYTES: Final = 1024 * 1024
_HALF: Final = LOG_BYTES // 2
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)


class BuildLog:
    """Takes bytes, gives text that is safe to show."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Take more output."""
        room = _HALF - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * _HALF:
            self._shorten()

    def note(self, text: str) -> None:
        """Take a line of our own."""
        self.write(f"runwright: {text}\n".encode())

    def text(self) -> str:
        """Return what was kept, without control characters, with a mark where something is missing."""
        self._shorten()
        head, tail = bytes(self._head), bytes(self._tail)
        if self._dropped:
            tail = f"\nrunwright: {self._dropped} bytes of the log were left out here\n".encode() + tail
        return clean(head + tail)

    def _shorten(self) -> None:
        beyond = len(self._tail) - _HALF
        if beyond > 0:
            self._dropped += beyond
            del self._tail[:beyond]


def clean(data: bytes) -> str:
    """Return output as text that does nothing to whoever's terminal or page it is shown on."""
    text = _ESCAPES.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)
