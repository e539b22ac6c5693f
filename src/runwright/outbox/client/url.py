"""Strict parsing of URLs that users give, and the policy that can be applied before name resolution.

Anything but `scheme://host[:port][/path][?query]` in printable ASCII is refused: where two parsers are
lenient in different ways, the checked host and the connected host can differ.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from runwright.core.addresses import Address, looks_numeric, parse_address, refusal
from runwright.core.hostnames import Trusted, is_private_name, normal_name

LONGEST_URL: Final = 2048
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<path>/[^?]*)?(?P<query>\?.*)?"
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>\d{1,5}))?")
_ALLOWED: Final = re.compile(r"[!-~]+")
_FORBIDDEN: Final = re.compile(r'[\\"<>^`{|}]')
_TRIGGER: Final = re.compile(r"/api/webhooks/global/[A-Za-z0-9_-]{1,200}")
_PORTS: Final = {"http": 80, "https": 443}
_HIGHEST_PORT: Final = 65535


class OutgoingUrlError(ValueError):
    """A URL that cannot be sent to; the message is for the user who gave it."""


class OutgoingUrl(msgspec.Struct, frozen=True):
    """A parsed URL. `address` is set if its host is an address and not a name."""

    secure: bool
    host: str
    address: Address | None
    port: int
    resource: str
    """Path and query."""

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"


class OwnIngress(msgspec.Struct, frozen=True):
    """Where this server itself receives webhooks: on a loopback address, at the paths of its triggers."""

    address: Address
    port: int

    def has(self, url: OutgoingUrl) -> bool:
        """Return whether a URL is the path of a trigger here, and nothing else of this server."""
        at = (url.secure, url.address, url.port)
        return at == (False, self.address, self.port) and _TRIGGER.fullmatch(url.resource) is not None


class OutgoingPolicy(msgspec.Struct, frozen=True):
    """Which destinations are allowed: by default https to public addresses.

    `dev` allows http, and loopback addresses; `trusted` are the operator's exceptions to the ban on
    private addresses; `own` is allowed too. Each request passes `refuse_target`, each connection
    `refuse_address`.
    """

    dev: bool = False
    trusted: tuple[Trusted, ...] = ()
    own: OwnIngress | None = None

    def refuse_address(self, name: str | None, address: Address, port: int) -> str | None:
        """Return why an address is refused, if it is. `name` None: the URL has the address itself."""
        if name is None and self.own is not None and (address, port) == (self.own.address, self.own.port):
            return None  # of its URLs, `refuse_target` lets pass the paths of triggers alone
        return self._refuse_private(name, address, port)

    def _refuse_private(self, name: str | None, address: Address, port: int) -> str | None:
        reason = refusal(address)
        if reason is None or (self.dev and reason == "loopback address"):
            return None
        return None if any(entry.covers(name, address, port) for entry in self.trusted) else reason

    def refuse_target(self, url: OutgoingUrl) -> str | None:
        """Return why a URL is refused without resolving its name; None if it is not."""
        if self.own is not None and self.own.has(url):
            return None
        if not url.secure and not self.dev:
            return "must use https"
        if url.address is not None:
            reason = self._refuse_private(None, url.address, url.port)
            return f"leads to a {reason}" if reason else None
        if not is_private_name(url.host) or (self.dev and url.host.rpartition(".")[2] == "localhost"):
            return None
        trusted = any(entry.covers(url.host, None, url.port) for entry in self.trusted)
        return None if trusted else "names a private host"


@lru_cache(maxsize=1024)
def parse_target(url: str) -> OutgoingUrl:
    """Parse a URL. OutgoingUrlError where it cannot be sent to."""
    if len(url) > LONGEST_URL:
        raise OutgoingUrlError(f"Must have at most {LONGEST_URL} characters.")
    if not _ALLOWED.fullmatch(url) or _FORBIDDEN.search(url):
        raise OutgoingUrlError("Must be a URL in plain ASCII, with all other characters percent-encoded.")
    if "#" in url:
        raise OutgoingUrlError("Must not have a fragment.")
    found = _URL.fullmatch(url)
    if found is None or found["scheme"].lower() not in _PORTS:
        raise OutgoingUrlError("Must be an https URL.")
    if "@" in found["authority"]:
        raise OutgoingUrlError("Must not hold a user name or a password.")
    scheme = found["scheme"].lower()
    host, address, port = _parse_authority(found["authority"], _PORTS[scheme])
    resource = (found["path"] or "/") + (found["query"] or "")
    return OutgoingUrl(scheme == "https", host, address, port, resource)


def _parse_authority(authority: str, default_port: int) -> tuple[str, Address | None, int]:
    found = _AUTHORITY.fullmatch(authority)
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
