"""What one sandbox may reach: decided per name, and again per address and port of a connection.

A name is judged when it is asked for, so that a program hears at once that there is no such host
for it; an address is judged when a connection is made to it, whatever was judged before.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from runwright.core.addresses import Address, looks_numeric, plain, refusal
from runwright.core.hostnames import Trusted, is_private_name, normal_host

Mode = Literal["none", "public", "allow"]
NOT_LISTED = "not in the worker's list of allowed hosts"


class EgressPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`mode` none: nothing. public: every public address. allow: those of `hosts` only."""

    mode: Mode
    hosts: frozenset[str] = frozenset()
    """Names and addresses in the form of `core.hosts.normal_host`."""
    trusted: tuple[Trusted, ...] = ()
    """What may be reached although its addresses are private. It does not stand in for `hosts`."""

    def refuse_name(self, name: str) -> str | None:
        """Return why a name, in its normal form, may not be reached; None where its addresses decide."""
        if self.mode == "none":
            return "the worker has no network"
        if self.mode == "allow" and name not in self.hosts:
            return NOT_LISTED
        if any(entry.covers_name(name) for entry in self.trusted):
            return None
        if looks_numeric(name):
            return "a number is not a name"
        # Where the operator trusts networks, only the addresses can tell.
        decided = not any(entry.network for entry in self.trusted)
        return "private name" if decided and is_private_name(name) else None

    def refuse_address(self, address: Address, port: int, *, name: str | None = None) -> str | None:
        """Return why no connection may be made to an address; `name` is the one it was found by."""
        if self.mode == "none":
            return "the worker has no network"
        address = plain(address)
        if self.mode == "allow" and (str(address) if name is None else name) not in self.hosts:
            return NOT_LISTED
        if any(entry.covers(name, address, port) for entry in self.trusted):
            return None
        return refusal(address)


NOTHING = EgressPolicy(mode="none")


def policy_of(network: object, trusted: Iterable[Trusted] = ()) -> EgressPolicy:
    """Return the policy that a worker's field `network` asks for; what is not understood is `none`."""
    if network == "public":
        return EgressPolicy(mode="public", trusted=tuple(trusted))
    if isinstance(network, dict) and isinstance(hosts := network.get("allow"), list):
        return allow_only(hosts, trusted)
    return NOTHING


def allow_only(hosts: Iterable[str], trusted: Iterable[Trusted] = ()) -> EgressPolicy:
    """Return the policy of a list of hosts; a text that is no host lets nothing through."""
    normal = frozenset(host for text in hosts if (host := normal_host(text)) is not None)
    return EgressPolicy(mode="allow", hosts=normal, trusted=tuple(trusted))
