"""Host names: which are private, and which private hosts the operator trusts.

A trusted entry is `host`, `host:port`, `address`, `network/bits` or one of the last two with a port
(`10.0.0.0/8:5432`, `[fd00::/8]:443`). It permits private addresses, nothing else. A host is trusted
by its name, at any address; an address or network is trusted under any name.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

import msgspec

from runwright.core.addresses import Address, parse_address, plain

DEFAULT_PORTS: Final = (
    *(22, 80, 443, 465, 587, 993, 995),
    *(1433, 1521, 3306, 5432, 5671, 5672, 6379, 6380, 6543),
    *(8080, 8443, 9092, 9093, 9200, 9243, 27017),
)
"""The default TCP ports that workers may connect to; without 25, so that workers cannot send mail."""

LONGEST_NAME: Final = 253
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PRIVATE_NAMES: Final = frozenset(
    ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private")
)
"""Private as a whole name or as the last label; the public DNS delegates none of them."""

_PRIVATE_ENDINGS: Final = (".home.arpa", ".in-addr.arpa", ".ip6.arpa")
_HIGHEST_PORT: Final = 65535


class Trusted(msgspec.Struct, frozen=True):
    """A trusted entry: a name or a network, on one port or on any."""

    name: str | None
    network: IPv4Network | IPv6Network | None
    port: int | None

    def covers(self, name: str | None, address: Address | None, port: int) -> bool:
        """Return whether the entry permits a connection to a host, at an address, on a port."""
        if self.port is not None and self.port != port:
            return False
        return self.covers_name(name) or (
            self.network is not None and address is not None and plain(address) in self.network
        )

    def covers_name(self, name: str | None) -> bool:
        """Return whether the entry names this host."""
        return self.name is not None and self.name == name


def normal_name(text: str) -> str | None:
    """Return a host name in normal form, for comparison; None if it is not a host name."""
    name = text.lower().removesuffix(".")
    return name if len(name) <= LONGEST_NAME and _NAME.fullmatch(name) else None


def normal_host(text: str) -> str | None:
    """Return a host name or an address in normal form, for comparison; None if it is neither."""
    address = parse_address(text)
    return normal_name(text) if address is None else str(address)


def is_private_name(name: str) -> bool:
    """Return whether a name in normal form is private as such, whatever its addresses are."""
    return name.rpartition(".")[2] in _PRIVATE_NAMES or name.endswith(_PRIVATE_ENDINGS)


def parse_trusted(text: str) -> Trusted:
    """Return the parsed entry. ValueError has the reason why it is invalid."""
    host, port = _split_port(text.strip())
    if "/" in host:
        try:
            return Trusted(None, ip_network(host), port)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a network: {error}") from None
    address = parse_address(host)
    if address is not None:
        return Trusted(None, ip_network(str(address).partition("%")[0]), port)
    name = normal_name(host)
    if name is None:
        raise ValueError(f"{text!r} is neither a host, an address nor a network, with or without a port")
    return Trusted(name, None, port)


def trusted_ports(entries: Iterable[Trusted]) -> set[int]:
    """Return the ports in the entries."""
    return {entry.port for entry in entries if entry.port is not None}


def _split_port(text: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(\d{1,5}))?", text)
    simple = re.fullmatch(r"([^:]*)(?::(\d{1,5}))?", text)
    found = bracketed or simple
    if found is None:
        return text, None  # IPv6 without brackets, or invalid text that the caller refuses
    host, port = found.group(1), found.group(2)
    if port is not None and not 0 < int(port) <= _HIGHEST_PORT:
        raise ValueError(f"{text!r} has an invalid port")
    return host, None if port is None else int(port)
