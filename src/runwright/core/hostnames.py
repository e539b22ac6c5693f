"""Names of hosts: which never mean a public one, and what an operator trusts nevertheless.

A trusted entry is `host`, `host:port`, `address`, `network/bits` or either of these with a port
(`10.0.0.0/8:5432`, `[fd00::/8]:443`). It lifts the ban on private addresses, nothing else. A host
is trusted by its name, whatever addresses it has; an address or network is trusted however it was
found.
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
"""The TCP ports that workers may connect to unless an operator says otherwise; not 25: no mail from here."""

LONGEST_NAME: Final = 253
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PRIVATE_NAMES: Final = frozenset(
    ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private")
)
"""As a whole name or as its last label; none of them is delegated in the public DNS."""

_PRIVATE_ENDINGS: Final = (".home.arpa", ".in-addr.arpa", ".ip6.arpa")
_HIGHEST_PORT: Final = 65535


class Trusted(msgspec.Struct, frozen=True):
    """One entry of what the operator trusts: a name or a network, on one port or on any."""

    name: str | None
    network: IPv4Network | IPv6Network | None
    port: int | None

    def covers(self, name: str | None, address: Address | None, port: int) -> bool:
        """Tell whether it lifts the ban for a connection to that host, at that address, on that port."""
        if self.port is not None and self.port != port:
            return False
        return self.covers_name(name) or (
            self.network is not None and address is not None and plain(address) in self.network
        )

    def covers_name(self, name: str | None) -> bool:
        """Tell whether it is about that name."""
        return self.name is not None and self.name == name


def normal_name(text: str) -> str | None:
    """Return a host name in the one form in which names are compared; None where it is not one."""
    name = text.lower().removesuffix(".")
    return name if len(name) <= LONGEST_NAME and _NAME.fullmatch(name) else None


def normal_host(text: str) -> str | None:
    """Return a host name or an address, in any spelling, in the one form in which they are compared."""
    address = parse_address(text)
    return normal_name(text) if address is None else str(address)


def is_private_name(name: str) -> bool:
    """Tell whether a name, in its normal form, never means a public host; its addresses may tell too."""
    return name.rpartition(".")[2] in _PRIVATE_NAMES or name.endswith(_PRIVATE_ENDINGS)


def parse_trusted(text: str) -> Trusted:
    """Read an entry; ValueError says what is wrong with it."""
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
    """Return the ports that entries name."""
    return {entry.port for entry in entries if entry.port is not None}


def _split_port(text: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(\d{1,5}))?", text)
    simple = re.fullmatch(r"([^:]*)(?::(\d{1,5}))?", text)
    found = bracketed or simple
    if found is None:
        return text, None  # IPv6 without brackets, or nonsense that the caller refuses
    host, port = found.group(1), found.group(2)
    if port is not None and not 0 < int(port) <= _HIGHEST_PORT:
        raise ValueError(f"{text!r} has a port that is none")
    return host, None if port is None else int(port)
