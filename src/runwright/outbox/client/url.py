"""Reading a URL that a user gave, strictly, and judging what can be judged before its name is resolved.

What is no plain `scheme://host[:port][/path][?query]` in printable ASCII is refused: parsers that
are lenient in different ways are how a check and a connection come to mean different hosts.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from runwright.core.addresses import Address, looks_numeric, parse_address, refusal
from runwright.core.hostnames import Trusted, is_private_name, normal_name

LONGEST_URL: Final = 2048
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<place>[^/?]*)(?P<path>/[^?]*)?(?P<query>\?.*)?"
)
_PLACE: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>\d{1,5}))?")
_ALLOWED: Final = re.compile(r"[!-~]+")
_FORBIDDEN: Final = re.compile(r'[\\"<>^`{|}]')
_PORTS: Final = {"http": 80, "https": 443}
_HIGHEST_PORT: Final = 65535


class OutgoingUrlError(ValueError):
    """A URL that nothing is sent to; the message says why, for whoever gave it."""


class OutgoingUrl(msgspec.Struct, frozen=True):
    """Where a request goes. `address` is set where the URL names one and no host."""

    secure: bool
    host: str
    address: Address | None
    port: int
    resource: str
    """Path and query."""

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"


class OutgoingPolicy(msgspec.Struct, frozen=True):
    """What is let out: by default https to public addresses.

    `dev` lets out http, and anything to loopback; `trusted` are the operator's exceptions to the
    ban on private addresses.
    """

    dev: bool = False
    trusted: tuple[Trusted, ...] = ()

    def refuse_address(self, name: str | None, address: Address, port: int) -> str | None:
        """Return why nothing is sent to an address that a name has (None: the URL gives the address)."""
        why = refusal(address)
        if why is None or (self.dev and why == "loopback address"):
            return None
        return None if any(entry.covers(name, address, port) for entry in self.trusted) else why

    def refuse_target(self, target: OutgoingUrl) -> str | None:
        """Return why nothing is sent to a target, as far as that can be told without resolving its name."""
        if not target.secure and not self.dev:
            return "must use https"
        if target.address is not None:
            why = self.refuse_address(None, target.address, target.port)
            return f"leads to a {why}" if why else None
        if not is_private_name(target.host) or (self.dev and target.host.rpartition(".")[2] == "localhost"):
            return None
        trusted = any(entry.covers(target.host, None, target.port) for entry in self.trusted)
        return None if trusted else "names a private host"


@lru_cache(maxsize=1024)
def parse_target(url: str) -> OutgoingUrl:
    """Return what a URL means; TargetError where it is not one that can be sent to."""
    if len(url) > LONGEST_URL:
        raise OutgoingUrlError(f"Must have at most {LONGEST_URL} characters.")
    if not _ALLOWED.fullmatch(url) or _FORBIDDEN.search(url):
        raise OutgoingUrlError("Must be a URL in plain ASCII, with all other characters percent-encoded.")
    if "#" in url:
        raise OutgoingUrlError("Must not have a fragment.")
    found = _URL.fullmatch(url)
    if found is None or found["scheme"].lower() not in _PORTS:
        raise OutgoingUrlError("Must be an https URL.")
    if "@" in found["place"]:
        raise OutgoingUrlError("Must not hold a user name or a password.")
    scheme = found["scheme"].lower()
    host, address, port = _parse_place(found["place"], _PORTS[scheme])
    resource = (found["path"] or "/") + (found["query"] or "")
    return OutgoingUrl(scheme == "https", host, address, port, resource)


def _parse_place(place: str, default_port: int) -> tuple[str, Address | None, int]:
    found = _PLACE.fullmatch(place)
    port = default_port if found is None or found["port"] is None else int(found["port"])
    if found is None or not 0 < port <= _HIGHEST_PORT:
        raise OutgoingUrlError("Must name a host, and a port from 1 to 65535 if any.")
    if "%" in found["host"]:
        raise OutgoingUrlError("Must name a host, without a zone.")
    address = parse_address(found["host"])
    if address is not None:
        return str(address), address, port
    name = normal_name(found["host"])
    if name is None or looks_numeric(name):
        raise OutgoingUrlError("Must name a host.")
    return name, None, port
