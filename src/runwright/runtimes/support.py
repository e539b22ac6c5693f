"""Release lines of the interpreters, and until when the projects behind them publish fixes for each."""

from collections.abc import Mapping
from typing import Final

_ENDS: Final[Mapping[str, Mapping[str, str]]] = {
    "python": {
        "3.11": "2027-10-31",
        "3.12": "2028-10-31",
        "3.13": "2029-10-31",
        "3.14": "2030-10-31",
    },
    "nodejs": {
        "18": "2025-04-30",
        "20": "2026-04-30",
        "22": "2027-04-30",
        "24": "2028-04-30",
    },
}
"""By runtime and release line, as peps.python.org and github.com/nodejs/release have it."""
_LINE_PARTS: Final[Mapping[str, int]] = {"python": 2, "nodejs": 1, "deno": 1}


def release_line(runtime: str, version: str) -> str | None:
    """Return the release line of a version, `3.12` or `20`; None where workers cannot choose one."""
    parts = _LINE_PARTS.get(runtime)
    return ".".join(version.split(".")[:parts]) if parts is not None else None


def end_of_support(runtime: str, version: str | None) -> str | None:
    """Return the date; None where none is published, or the line is not known here."""
    line = release_line(runtime, version or "")
    return _ENDS.get(runtime, {}).get(line or "")


def interpreter_name(runtime: str, line: str | None) -> str:
    """Return the name of an interpreter: `python` for the one that the host prefers, else `python@3.13`."""
    return runtime if line is None else f"{runtime}@{line}"
