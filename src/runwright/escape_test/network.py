"""The network that the escape test's sandboxes have: names and addresses that all lead to the bait.

So a policy that lets something through is found out wherever the test runs, in a cloud or not, and
nothing outside of this host is ever contacted.
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
"""Has a public address the first time it is asked for and another one from then on."""
_HTTP: Final = 80


class Outside:
    """All that is beyond the sandboxes."""

    def __init__(self, words: dict[str, object]) -> None:
        self._port = int(str(words["port"]))
        self._asked: Counter[str] = Counter()
        ports = {_HTTP, *(int(str(words[name])) for name in ("port", "port6", "database_port"))} - {0}
        self.egress = Egress(ports=ports, resolve=self._resolve, dial=self._dial)

    async def _resolve(self, name: str) -> list[str]:
        self._asked[name] += 1
        if name == _CHANGING:
            return [_DOWN] if self._asked[name] == 1 else ["127.0.0.1"]
        if name not in _NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return _NAMES[name]

    async def _dial(self, address: Address, port: int) -> socket.socket:
        """Connect to the bait, whatever was meant, unless nobody is there."""
        if str(address) == _DOWN:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody is at port {port}")
        return await dial(IPv4Address("127.0.0.1"), self._port)
