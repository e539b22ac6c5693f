"""Until when the projects behind the interpreters publish fixes for a release line."""

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


def end_of_support(runtime: str, version: str | None) -> str | None:
    """Return the date; None where none is published, or the line is not known here."""
    parts = (version or "").split(".")
    line = ".".join(parts[:2]) if runtime == "python" else parts[0]
    return _ENDS.get(runtime, {}).get(line)
