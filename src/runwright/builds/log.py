"""The log of an installation: what the package manager printed, within bounds, and why it failed."""

import re
from typing import Final

LOG_BYTES: Final = 1024 * 1024
_HALF: Final = LOG_BYTES // 2
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)


_REASON_LINES: Final = 12
_REASON_CHARACTERS: Final = 1200
_NO_SPACE: Final = re.compile(r"No space left on device|ENOSPC|\(os error 28\)|File too large|EFBIG")
_NOISE: Final = re.compile(
    r"^(?:Using CPython|DEBUG|warning: `VIRTUAL_ENV|npm (?:http|notice|info|timing|verb)"
    r"|npm error A complete log|npm error\s*$|Stack backtrace|\s+\d+: <unknown>|Download "
    r"|npm error For a full report|npm error /build"
    r"|Resolved \d|Prepared \d|runwright: (?!the installer))"
)
_REFUSED: Final = re.compile(r"^runwright: (network: .* refused .*)$", re.MULTILINE)
_PREFIX: Final = re.compile(r"^npm error (?:(?:code|\d{3}|notarget|ERESOLVE) ?)?")


class BuildLog:
    """Keeps the beginning and the end of the output; returns text that is safe to display."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Append output."""
        free = _HALF - len(self._head)
        self._head += data[:free]
        self._tail += data[free:]
        if len(self._tail) > 2 * _HALF:
            self._shorten()

    def note(self, text: str) -> None:
        """Append a line of the builder."""
        self.write(f"runwright: {text}\n".encode())

    def text(self) -> str:
        """Return the kept output without control characters; a line states how many bytes were dropped."""
        self._shorten()
        head, tail = bytes(self._head), bytes(self._tail)
        if self._dropped:
            tail = f"\nrunwright: {self._dropped} bytes of the log were left out here\n".encode() + tail
        return clean(head + tail)

    def _shorten(self) -> None:
        excess = len(self._tail) - _HALF
        if excess > 0:
            self._dropped += excess
            del self._tail[:excess]


def clean(data: bytes) -> str:
    """Return output as text that has no effect on the terminal or page that displays it."""
    text = _ESCAPES.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


def failure_reason(log: str, *, disk_mb: int) -> str:
    """Return why an installation failed, in a few lines, from what the package manager printed last."""
    if _NO_SPACE.search(log):
        return f"The installation needed more than {disk_mb} MB of disk."
    lines = [_PREFIX.sub("", line).rstrip() for line in log.splitlines() if not _NOISE.match(line)]
    lines = [line for line in lines if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith(("error:", "E"))), None)
    chosen = lines[start : start + _REASON_LINES] if start is not None else lines[-_REASON_LINES:]
    refusal = _REFUSED.search(log)
    text = "\n".join([*chosen, *([refusal[1]] if refusal else [])])
    return (
        text[:_REASON_CHARACTERS] + ("…" if len(text) > _REASON_CHARACTERS else "")
        or "The installer failed without a message."
    )
