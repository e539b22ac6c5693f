"""Release lines of the interpreters, until when each has fixes, and which runtimes are extras."""

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

_EXTRAS: Final[Mapping[str, str | None]] = {"nodejs": "node_path", "deno": "deno_path", "wasm": None}
"""The runtimes that are extras of the distribution, with the setting that names another program."""


def extra_of(runtime: str) -> str | None:
    """Return what to install for a runtime, such as `runwright[deno]`; None for one without an extra."""
    return f"runwright[{runtime}]" if runtime in _EXTRAS else None


def not_installed(runtime: str) -> str:
    """Return the reason why a runtime of an extra is not ready where it is not installed."""
    setting = _EXTRAS[runtime]
    return f"not installed: it comes with {extra_of(runtime)}{f', or set {setting}' if setting else ''}"


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
