"""The egress policy of one sandbox, and connections made under it.

A name is checked when it is resolved, so that programs learn at once that it does not exist for them;
an address is checked when a connection to it is made, whatever was checked before.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, ip_address
from typing import Final, Literal

import msgspec

from runwright.core.addresses import Address, looks_numeric, plain, refusal
from runwright.core.hostnames import Trusted, is_private_name, normal_host
from runwright.egress.relay import Dial, EgressLimits, Traffic
from runwright.egress.resolver import Bindings, Lookups, NoSuchNameError

EgressMode = Literal["none", "public", "allow"]
NOT_LISTED: Final = "not in the worker's list of allowed hosts"
LEASE_LOST: Final = "refused (the executor has lost its lease)"
_SHOWN_NAME_CHARACTERS: Final = 120


class EgressPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`mode` none: nothing. public: every public address. allow: those of `hosts` only."""

    mode: EgressMode
    hosts: frozenset[str] = frozenset()
    """Names and addresses in the form of `core.hostnames.normal_host`."""
    trusted: tuple[Trusted, ...] = ()
    """Destinations that may have private addresses. They do not extend `hosts`."""

    def refuse_name(self, name: str) -> str | None:
        """Return why a name, in normal form, may not be reached; None where its addresses decide."""
        if self.mode == "none":
            return "the worker has no network"
        if self.mode == "allow" and name not in self.hosts:
            return NOT_LISTED
        if any(entry.covers_name(name) for entry in self.trusted):
            return None
        if looks_numeric(name):
            return "a number is not a name"
        # With trusted networks, only the addresses can decide.
        decided = not any(entry.network for entry in self.trusted)
        return "private name" if decided and is_private_name(name) else None

    def refuse_address(self, address: Address, port: int, *, name: str | None = None) -> str | None:
        """Return why no connection may be made to an address that `name`, if any, resolved to."""
        if self.mode == "none":
            return "the worker has no network"
        address = plain(address)
        if self.mode == "allow" and (str(address) if name is None else name) not in self.hosts:
            return NOT_LISTED
        if any(entry.covers(name, address, port) for entry in self.trusted):
            return None
        return refusal(address)


NOTHING: Final = EgressPolicy(mode="none")


def policy_of(network: object, trusted: Iterable[Trusted] = ()) -> EgressPolicy:
    """Return the policy for a worker's field `network`; an unknown value allows nothing."""
    if network == "public":
        return EgressPolicy(mode="public", trusted=tuple(trusted))
    if isinstance(network, dict) and isinstance(hosts := network.get("allow"), list):
        return allow_only(hosts, trusted)
    return NOTHING


def allow_only(hosts: Iterable[str], trusted: Iterable[Trusted] = ()) -> EgressPolicy:
    """Return the policy for a list of hosts; an entry that is not a host allows nothing."""
    normal = frozenset(host for text in hosts if (host := normal_host(text)) is not None)
    return EgressPolicy(mode="allow", hosts=normal, trusted=tuple(trusted))


class EgressRefusedError(Exception):
    """A destination is not allowed or cannot be reached; the message is for the job's log."""


class EgressResources(msgspec.Struct, frozen=True):
    """What all sandboxes of an egress loop share."""

    lookups: Lookups
    dial: Dial
    limits: EgressLimits
    traffic: Traffic
    held: Callable[[], bool]
    """Whether the executor holds the lease of its jobs; may be called in any thread."""


class PolicyDialer:
    """Resolves names and opens connections for one sandbox, as its policy allows."""

    def __init__(self, resources: EgressResources, policy: EgressPolicy) -> None:
        self._resources = resources
        self._policy = policy
        self._bindings = Bindings()
        self._slots = asyncio.Semaphore(resources.limits.lookups)

    async def address_for(self, name: str) -> IPv4Address:
        """Return the address that represents a name inside the sandbox.

        EgressRefusedError or NoSuchNameError where the name does not exist for it, OSError where the
        lookup fails.
        """
        refused = self._policy.refuse_name(name)
        if refused:
            raise EgressRefusedError(f"name {name[:_SHOWN_NAME_CHARACTERS]} refused ({refused})")
        await self._look_up(name)
        address = self._bindings.bind(name)
        if address is None:
            raise EgressRefusedError(f"name {name[:_SHOWN_NAME_CHARACTERS]} refused (too many names)")
        return address

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a connection to the destination that the address `host` means to the sandbox.

        EgressRefusedError where it is not allowed or fails.
        """
        address = plain(ip_address(host))
        name = self._bindings.name_of(address)
        shown = f"[{address}]" if ":" in str(address) else str(address)
        shown = name[:_SHOWN_NAME_CHARACTERS] if name else shown
        try:
            async with asyncio.timeout(self._resources.limits.connect_seconds):
                allowed = await self._allowed_addresses(name, address, port)
                return await self._connect_to_any(allowed, port)
        except EgressRefusedError as error:
            raise EgressRefusedError(f"connection to {shown}:{port} {error}") from None
        except NoSuchNameError:
            raise EgressRefusedError(f"connection to {shown}:{port} failed (no such name)") from None
        except OSError as error:  # TimeoutError is one
            why = error.strerror or "timed out"
            raise EgressRefusedError(f"connection to {shown}:{port} failed ({why})") from None

    async def _allowed_addresses(self, name: str | None, address: Address, port: int) -> list[Address]:
        """Return the addresses that the policy allows; no lookup follows."""
        if name is not None:
            refused = self._policy.refuse_name(name)
            found = [] if refused else await self._look_up(name)
        else:
            # Inside, a loopback address is the sandbox's own: it never means the host's.
            refused = "loopback address" if address.is_loopback else None
            found = [] if refused else [address]
        checked = [(one, self._policy.refuse_address(one, port, name=name)) for one in found]
        allowed = [one for one, why in checked if why is None]
        if not allowed:
            raise EgressRefusedError(f"refused ({refused or checked[0][1]})")
        return allowed

    async def _connect_to_any(self, addresses: list[Address], port: int) -> socket.socket:
        failure = OSError()
        self._check_lease()
        for address in addresses:
            last = address is addresses[-1]
            try:
                async with asyncio.timeout(None if last else self._resources.limits.next_seconds):
                    return await self._resources.dial(address, port)
            except OSError as error:
                failure = error
        raise failure

    def _check_lease(self) -> None:
        """Raise EgressRefusedError if the job may have begun elsewhere, so that it must not act here."""
        if not self._resources.held():
            raise EgressRefusedError(LEASE_LOST)

    async def _look_up(self, name: str) -> list[Address]:
        self._check_lease()
        return await self._resources.lookups.addresses(name, self._slots)
