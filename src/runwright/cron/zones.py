"""Time zones by their IANA names, with the rules that the `tzdata` package brings.

The rules come from the package and not from the host, so that every server of a release computes
the same firings, and a change of rules arrives when the package is updated and never in between.
"""

import difflib
from functools import lru_cache
from importlib import metadata, resources
from typing import Final
from zoneinfo import ZoneInfo

RULES_VERSION: Final = metadata.version("tzdata")
"""Which rules these are, for example `2026.1`."""

_PLACEHOLDER: Final = "Factory"
"""A zone that says that nobody has chosen one."""


class UnknownZoneError(ValueError):
    """There is no such zone; the message says so to the person who named it."""


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all zones."""
    lines = resources.files("tzdata").joinpath("zones").read_text().splitlines()
    return frozenset(lines) - {_PLACEHOLDER}


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """Return the zone of this name; UnknownZoneError where there is none."""
    # Only names from the list become a path.
    if name not in zone_names():
        raise UnknownZoneError(
            f"Must be the name of an IANA time zone, for example Europe/Berlin.{_hint(name)}"
        )
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _hint(name: str) -> str:
    by_folded = {known.casefold(): known for known in sorted(zone_names())}
    close = difflib.get_close_matches(name[:64].casefold(), by_folded, n=1, cutoff=0.75)
    return f" Perhaps {by_folded[close[0]]} is meant." if close else ""
