"""Decides, for one sandbox, where a name or an address leads, and goes there."""

import asyncio
import socket
from ipaddress import IPv4Address, ip_address
from typing import Final

import msgspec

from runwright.core.addresses import Address, plain
from runwright.egress.policy import EgressPolicy
from runwright.egress.relay import Dial, Limits, Traffic
from runwright.egress.resolver import Bindings, Lookups, NoSuchNameError

_SHOWN_NAME: Final = 120


class RefusedError(Exception):
    """What may not be reached, or cannot be; the text is for the worker's log."""


class Shared(msgspec.Struct, frozen=True):
    """What all sandboxes of an egress loop have in common."""

    lookups: Lookups
    dial: Dial
    limits: Limits
    traffic: Traffic


class PolicyDialer:
    """What one sandbox can reach under its policy."""

    def __init__(self, shared: Shared, policy: EgressPolicy) -> None:
        self._shared = shared
        self._policy = policy
        self._bindings = Bindings()
        self._slots = asyncio.Semaphore(shared.limits.lookups)

    async def address_for(self, name: str) -> IPv4Address:
        """Return the address that stands for a name inside.

        RefusedError or NoSuchNameError where there is no such host for it, OSError where nobody knows.
        """
        refused = self._policy.refuse_name(name)
        if refused:
            raise RefusedError(f"name {name[:_SHOWN_NAME]} refused ({refused})")
        await self._look_up(name)
        address = self._bindings.bind(name)
        if address is None:
            raise RefusedError(f"name {name[:_SHOWN_NAME]} refused (too many names)")
        return address

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a connection to where a sandbox that connects to that address wants to go.

        RefusedError where it may not go there or cannot.
        """
        address = plain(ip_address(host))
        name = self._bindings.name_of(address)
        shown = name[:_SHOWN_NAME] if name else f"[{address}]" if ":" in str(address) else str(address)
        try:
            async with asyncio.timeout(self._shared.limits.connect_seconds):
                passed = await self._judge(name, address, port)
                return await self._connect_to_one(passed, port)
        except RefusedError as error:
            raise RefusedError(f"connection to {shown}:{port} {error}") from None
        except NoSuchNameError:
            raise RefusedError(f"connection to {shown}:{port} failed (no such name)") from None
        except OSError as error:  # TimeoutError is one
            why = error.strerror or "timed out"
            raise RefusedError(f"connection to {shown}:{port} failed ({why})") from None

    async def _judge(self, name: str | None, address: Address, port: int) -> list[Address]:
        """Return the addresses that the policy passes; no look-up follows."""
        if name is not None:
            refused = self._policy.refuse_name(name)
            found = [] if refused else await self._look_up(name)
        else:
            # Inside, a loopback address is the sandbox itself: it never means the host's.
            refused = "loopback address" if address.is_loopback else None
            found = [] if refused else [address]
        judged = [(one, self._policy.refuse_address(one, port, name=name)) for one in found]
        passed = [one for one, why in judged if why is None]
        if not passed:
            raise RefusedError(f"refused ({refused or judged[0][1]})")
        return passed

    async def _connect_to_one(self, addresses: list[Address], port: int) -> socket.socket:
        failure = OSError()
        for address in addresses:
            last = address is addresses[-1]
            try:
                async with asyncio.timeout(None if last else self._shared.limits.next_seconds):
                    return await self._shared.dial(address, port)
            except OSError as error:
                failure = error
        raise failure

    async def _look_up(self, name: str) -> list[Address]:
        return await self._shared.lookups.addresses(name, self._slots)
