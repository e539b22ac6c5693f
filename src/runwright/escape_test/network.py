"""The network of the escape test's sandboxes: names and addresses that all lead to the canary process.

So a policy that allows too much is detected wherever the test runs, in a cloud or not, and nothing
outside of this host is contacted.
"""

import errno
import socket
from collections import Counter
from ipaddress import IPv4Address
from typing import Final

from runwright.core.addresses import Address
from runwright.egress import Egress, dial

_PUBLIC: Final = "93.184.216.34"
_NAMES: Final = {
    "public.test": [_PUBLIC],
    "inside.test": ["127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
}
_DOWN: Final = "93.184.216.35"
_CHANGING: Final = "changing.test"
"""A name with a public address at the first lookup, and the loopback one from then on."""
_HTTP: Final = 80


class SimulatedNetwork:
    """Resolves the names of the attempts, and connects to the canary process."""

    def __init__(self, targets: dict[str, object]) -> None:
        self._port = int(str(targets["port"]))
        self._lookups: Counter[str] = Counter()
        ports = {_HTTP, *(int(str(targets[name])) for name in ("port", "port6", "database_port"))} - {0}
        self.egress = Egress(ports=ports, resolve=self._resolve, dial=self._dial)

    async def _resolve(self, name: str) -> list[str]:
        self._lookups[name] += 1
        if name == _CHANGING:
            return [_DOWN] if self._lookups[name] == 1 else ["127.0.0.1"]
        if name not in _NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return _NAMES[name]

    async def _dial(self, address: Address, port: int) -> socket.socket:
        """Connect to the canary process, unless the destination is the one that is down."""
        if str(address) == _DOWN:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nothing listens at port {port}")
        return await dial(IPv4Address("127.0.0.1"), self._port)
