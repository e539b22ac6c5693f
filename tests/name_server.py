"""A name server on loopback, over UDP and TCP, that answers some names and is silent about others."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from ipaddress import ip_address
from typing import cast

_A, _CNAME, _AAAA = 1, 5, 28
_TRUNCATED = 0x0200
_NO_SUCH_NAME = 3
_UDP_BYTES = 512


class NameServer:
    """`zone` has addresses, or the name that an alias is for; names that end in `.silent` get no answer."""

    def __init__(self, zone: Mapping[str, Sequence[str] | str]) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self.over_tcp = 0
        self.port = 0
        self._changed = asyncio.Event()

    async def until_asked(self, times: int) -> None:
        """Wait until it has been asked so many times."""
        while len(self.asked) < times:
            self._changed.clear()
            await self._changed.wait()

    def answer(self, query: bytes, *, most: int) -> bytes | None:
        """Return the response, cut where it has more than `most` bytes; None: none is sent."""
        name, end = _name(query)
        kind = struct.unpack_from("!H", query, end)[0]
        self.asked.append(name)
        self._changed.set()
        if name.endswith(".silent"):
            return None
        records, code = [], 0 if name in self.zone else _NO_SUCH_NAME
        while isinstance(target := self.zone.get(name, ()), str):
            records.append(_record(name, _CNAME, _encoded(target)))
            name = target
        records += [
            _record(name, kind, ip_address(one).packed)
            for one in target
            if kind == (_A if ip_address(one).version == 4 else _AAAA)
        ]
        body = query[12 : end + 4] + b"".join(records)
        if len(body) + 12 > most:
            return struct.pack("!2s5H", query[:2], 0x8180 | _TRUNCATED, 1, 0, 0, 0) + query[12 : end + 4]
        return struct.pack("!2s5H", query[:2], 0x8180 | code, 1, len(records), 0, 0) + body


class _Packets(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._server.answer(data, most=_UDP_BYTES)
        if response is not None:
            self._transport.sendto(response, addr)


class _Stream(asyncio.Protocol):
    def __init__(self, server: NameServer, open_streams: set[asyncio.BaseTransport]) -> None:
        self._server = server
        self._open = open_streams
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 2 + (size := int.from_bytes(self._received[:2], "big")) and size:
            query, self._received = self._received[2 : 2 + size], self._received[2 + size :]
            self._server.over_tcp += 1
            response = self._server.answer(query, most=65_535)
            if response is not None:
                self._transport.write(len(response).to_bytes(2, "big") + response)


@contextlib.asynccontextmanager
async def name_server(
    zone: Mapping[str, Sequence[str] | str], *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[NameServer]:
    """Serve on one port over UDP and TCP."""
    server = NameServer(zone)
    loop, streams = asyncio.get_running_loop(), set[asyncio.BaseTransport]()
    listener = await loop.create_server(lambda: _Stream(server, streams), host, port)
    server.port = listener.sockets[0].getsockname()[1]
    udp, _ = await loop.create_datagram_endpoint(lambda: _Packets(server), local_addr=(host, server.port))
    try:
        yield server
    finally:
        udp.close()
        listener.close()
        for stream in list(streams):
            cast("asyncio.Transport", stream).abort()
        await asyncio.sleep(0)


def _name(query: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode().lower())
        at += 1 + size
    return ".".join(labels), at + 1


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(name: str, kind: int, data: bytes) -> bytes:
    return _encoded(name) + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
