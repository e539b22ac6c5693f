"""Time zones by IANA name, with the rules of the `tzdata` package.

The rules come from the package instead of the host, so that every server of a release computes the same
firings, and rules change only with an update of the package.
"""

import difflib
from functools import lru_cache
from importlib import metadata, resources
from typing import Final
from zoneinfo import ZoneInfo

RULES_VERSION: Final = metadata.version("tzdata")
"""The version of the rules, for example `2026.1`."""

_PLACEHOLDER: Final = "Factory"
"""The zone of hosts whose zone is not configured."""


class UnknownZoneError(ValueError):
    """There is no such zone; the message is for the caller who named it."""


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all zones."""
    lines = resources.files("tzdata").joinpath("zones").read_text().splitlines()
    return frozenset(lines) - {_PLACEHOLDER}


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """Return the zone of this name. Raises UnknownZoneError if there is none."""
    # Only names in the list may become a path.
    if name not in zone_names():
        raise UnknownZoneError(
            f"Must be the name of an IANA time zone, for example Europe/Berlin.{_hint(name)}"
        )
    with resources.files("tzdata").joinpath("zoneinfo", name).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _hint(name: str) -> str:
    by_folded = {known.casefold(): known for known in sorted(zone_names())}
    close = difflib.get_close_matches(name[:64].casefold(), by_folded, n=1, cutoff=0.75)
    return f" Perhaps {by_folded[close[0]]} is meant." if close else ""
