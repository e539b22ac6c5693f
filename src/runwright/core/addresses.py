"""Public and private IP addresses, in every notation.

`refusal` returns None for a public address, else the reason why it is not one, for a log line.
Public are IPv4 addresses outside the special ranges, and of IPv6 only global unicast addresses
outside the special ranges. An address with an embedded IPv4 address (mapped, NAT64, ISATAP) is public
if that one is. Obsolete transition mechanisms (6to4, Teredo, IPv4-compatible) are always refused.

`parse_address` accepts all common notations: dotted, decimal, octal and hexadecimal IPv4 with one to
four parts as in `inet_aton`, and IPv6 with brackets and with a zone.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_METADATA: Final = "cloud metadata address"
_METADATA_ADDRESSES: Final = {
    IPv4Address("169.254.169.254"): _METADATA,
    IPv4Address("169.254.170.2"): _METADATA,
    IPv4Address("168.63.129.16"): _METADATA,  # in a public range, but reserved for the host on Azure
    IPv4Address("100.100.100.200"): _METADATA,
    IPv4Address("192.0.0.192"): _METADATA,
    IPv6Address("fd00:ec2::254"): _METADATA,
    IPv6Address("fd00:ec2::23"): _METADATA,
    IPv6Address("fd20:ce::254"): _METADATA,
}
_REFUSED_4: Final = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "address of this network"),
        ("10.0.0.0/8", "private address"),
        ("100.64.0.0/10", "address of a carrier's network"),
        ("127.0.0.0/8", "loopback address"),
        ("169.254.0.0/16", "link-local address"),
        ("172.16.0.0/12", "private address"),
        ("192.0.0.0/24", "reserved address"),
        ("192.0.2.0/24", "documentation address"),
        ("192.88.99.0/24", "6to4 relay address"),
        ("192.168.0.0/16", "private address"),
        ("198.18.0.0/15", "benchmarking address"),
        ("198.51.100.0/24", "documentation address"),
        ("203.0.113.0/24", "documentation address"),
        ("224.0.0.0/4", "multicast address"),
        ("240.0.0.0/4", "reserved address"),
    )
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_REFUSED_6: Final = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified address"),
        ("::1/128", "loopback address"),
        ("::/96", "IPv4-compatible address"),
        ("::ffff:0:0:0/96", "IPv4-translated address"),
        ("64:ff9b:1::/48", "NAT64 address of a local network"),
        ("100::/64", "discard-only address"),
        ("2001::/32", "Teredo address"),
        ("2001::/23", "reserved address"),
        ("2001:db8::/32", "documentation address"),
        ("2002::/16", "6to4 address"),
        ("3fff::/20", "documentation address"),
        ("5f00::/16", "segment routing address"),
        ("fc00::/7", "private address"),
        ("fe80::/10", "link-local address"),
        ("fec0::/10", "site-local address"),
        ("ff00::/8", "multicast address"),
    )
)
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
_LONGEST_TEXT: Final = 128
_PARTS: Final = 4
_DIGITS: Final = {8: frozenset("01234567"), 10: frozenset("0123456789"), 16: frozenset("0123456789abcdef")}


def refusal(address: Address) -> str | None:
    """Return why an address is not public, or None for a public one."""
    inner = embedded(address)
    if inner is not None:
        return refusal(inner)
    bare = address if isinstance(address, IPv4Address) else IPv6Address(int(address))  # without the zone
    if bare in _METADATA_ADDRESSES:
        return _METADATA_ADDRESSES[bare]
    if isinstance(bare, IPv4Address):
        return next((why for network, why in _REFUSED_4 if bare in network), None)
    why = next((why for network, why in _REFUSED_6 if bare in network), None)
    if why is None and bare not in _GLOBAL_UNICAST:
        return "reserved address"
    return why or _refuse_isatap(bare)


def embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to a mapped or NAT64 address are sent to, else None."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def plain(address: Address) -> Address:
    """Return an IPv4-mapped address as an IPv4 address; any other unchanged."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_address(text: str) -> Address | None:
    """Return the address in a text, in any notation; None if it is not an address."""
    if len(text) > _LONGEST_TEXT or not text.isascii():
        return None
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        return plain(ip_address(text))
    except ValueError:
        return _parse_loose(text.lower())


def looks_numeric(name: str) -> bool:
    """Return whether programs may parse a name as an IPv4 address: its last label is a number."""
    last = name.rstrip(".").rpartition(".")[2].lower()
    return _parse_number(last) is not None or (last.isascii() and last.isdigit())


def _refuse_isatap(address: IPv6Address) -> str | None:
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP and refusal(IPv4Address(int(address) & 0xFFFFFFFF)):
        return "ISATAP address of a private network"
    return None


def _parse_loose(text: str) -> IPv4Address | None:
    """Parse an IPv4 address as `inet_aton` does: the last part fills the remaining bytes."""
    parts = text.removesuffix(".").split(".")
    if len(parts) > _PARTS:
        return None
    numbers = [_parse_number(part) for part in parts]
    value = 0
    for place, number in enumerate(numbers):
        left = _PARTS - place
        room = 1 << (8 * left if place == len(numbers) - 1 else 8)
        if number is None or number >= room:
            return None
        value = value * room + number
    return IPv4Address(value)


def _parse_number(part: str) -> int | None:
    base = 10
    if part.startswith("0x"):
        base, part = 16, part[2:] or "0"
    elif part.startswith("0"):
        base = 8
    if not part or not set(part) <= _DIGITS[base]:
        return None
    return int(part, base)
