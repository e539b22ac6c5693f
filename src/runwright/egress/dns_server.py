"""The DNS server of one sandbox: answers queries over UDP and TCP, whatever server they are sent to.

Queries come from hostile code: their size is bounded, and compression pointers, which a query does not
need, are errors. Responses hold at most one address.

A name that the policy refuses does not exist (NXDOMAIN): programs give up at once, where REFUSED would
make them retry. A lookup that fails temporarily is a server failure (SERVFAIL).
"""

import asyncio
import contextlib
import socket
import struct
from enum import IntEnum
from typing import Final, TypeAlias

import msgspec

from runwright.core.hostnames import normal_name
from runwright.egress.log_limiter import LogLimiter
from runwright.egress.policy import EgressRefusedError, PolicyDialer
from runwright.egress.resolver import NoSuchNameError

MAX_QUERY_BYTES: Final = 1232
TTL_SECONDS: Final = 30
A: Final = 1
AAAA: Final = 28
_INTERNET_CLASS: Final = 1
_HEADER: Final = struct.Struct("!6H")
_ENTRY: Final = struct.Struct("!HHIH")
_POINTER_TO_QUERY: Final = b"\xc0\x0c"
_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
_MAX_LABEL_BYTES: Final = 63
_MAX_NAME_BYTES: Final = 255
_MAX_PENDING: Final = 64
"""Queries answered at once; further ones are dropped, and retried by the client."""
_READS_PER_TURN: Final = 32
_ANCILLARY_BYTES: Final = 256
_QUERIES_PER_STREAM: Final = 1000
_STREAM_SECONDS: Final = 30.0
_IP_PKTINFO: Final = 8
_AncillaryData: TypeAlias = list[tuple[int, int, bytes]]


class ResponseCode(IntEnum):
    """The RCODE of a response."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NO_SUCH_NAME = 3
    NOT_IMPLEMENTED = 4


class Query(msgspec.Struct, frozen=True):
    """One query; `name` is in normal form, None where it is not a valid host name."""

    id: int
    flags: int
    raw: bytes
    name: str | None
    kind: int
    internet: bool


def parse_query(message: bytes) -> Query | bytes | None:
    """Return the query of a message, or the error response to send, or None to ignore the message."""
    if not _HEADER.size <= len(message) <= MAX_QUERY_BYTES:
        return None
    number, flags, count, *_ = _HEADER.unpack_from(message)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE:
        return _error_response(number, flags, ResponseCode.NOT_IMPLEMENTED)
    found = _read_name(message, _HEADER.size) if count == 1 else None
    if found is None or found[1] + 4 > len(message):
        return _error_response(number, flags, ResponseCode.FORMAT_ERROR)
    labels, end = found
    kind, group = struct.unpack_from("!HH", message, end)
    try:
        name = normal_name(b".".join(labels).decode("ascii")) if labels else None
    except UnicodeDecodeError:
        name = None
    return Query(number, flags, message[_HEADER.size : end + 4], name, kind, group == _INTERNET_CLASS)


def write_response(query: Query, code: ResponseCode, address: bytes | None = None) -> bytes:
    """Return the response to a query, with an IPv4 address or without an address."""
    flags = _RESPONSE | query.flags & _RECURSION_DESIRED | _RECURSION_AVAILABLE | code
    header = _HEADER.pack(query.id, flags, 1, int(address is not None), 0, 0)
    entry = b""
    if address is not None:
        entry = _POINTER_TO_QUERY + _ENTRY.pack(A, _INTERNET_CLASS, TTL_SECONDS, len(address)) + address
    return header + query.raw + entry


def _error_response(number: int, flags: int, code: ResponseCode) -> bytes:
    return _HEADER.pack(number, _RESPONSE | flags & (_OPCODE | _RECURSION_DESIRED) | code, 0, 0, 0, 0)


def _read_name(message: bytes, offset: int) -> tuple[list[bytes], int] | None:
    """Return the labels of a name and its end offset; None where it is malformed or compressed."""
    labels: list[bytes] = []
    start = offset
    while offset < len(message) and offset - start < _MAX_NAME_BYTES:
        length = message[offset]
        offset += 1
        if not length:
            return labels, offset
        if length > _MAX_LABEL_BYTES or offset + length > len(message):
            return None
        labels.append(message[offset : offset + length])
        offset += length
    return None


class DnsServer:
    """Answers queries until it is closed; it does not own the UDP socket."""

    def __init__(self, udp: socket.socket, dialer: PolicyDialer, log: LogLimiter) -> None:
        self._udp = udp
        self._dialer = dialer
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(udp, self._read_packets)

    def close(self) -> None:
        """Stop answering."""
        self._loop.remove_reader(self._udp)
        for task in self._tasks:
            task.cancel()

    async def answer_stream(self, inside: socket.socket) -> None:
        """Answer the queries of a TCP connection, each prefixed with its length, and close it."""
        try:
            async with asyncio.timeout(_STREAM_SECONDS):
                for _ in range(_QUERIES_PER_STREAM):
                    size = int.from_bytes(await self._receive(inside, 2), "big")
                    response = await self._answer(await self._receive(inside, size)) if size else None
                    if response is None:
                        return
                    await self._loop.sock_sendall(inside, len(response).to_bytes(2, "big") + response)
        except OSError:
            return
        finally:
            inside.close()

    def _read_packets(self) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                message, extra, _, sender = self._udp.recvmsg(MAX_QUERY_BYTES + 1, _ANCILLARY_BYTES)
            except OSError:
                return
            if len(self._tasks) < _MAX_PENDING:
                task = self._loop.create_task(self._answer_packet(message, _response_source(extra), sender))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer_packet(self, message: bytes, source: _AncillaryData, sender: tuple[str, int]) -> None:
        response = await self._answer(message)
        if response is not None:
            with contextlib.suppress(OSError):
                self._udp.sendmsg([response], source, 0, sender)

    async def _receive(self, inside: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await self._loop.sock_recv(inside, size - len(data))
            if not more:
                return b""
            data += more
        return data

    async def _answer(self, message: bytes) -> bytes | None:
        query = parse_query(message)
        if not isinstance(query, Query):
            return query
        code, address = ResponseCode.NO_ERROR, None
        try:
            if query.name is None or not query.internet:
                code = ResponseCode.NO_SUCH_NAME
            elif query.kind in (A, AAAA):
                address = await self._dialer.address_for(query.name)
        except NoSuchNameError:
            code = ResponseCode.NO_SUCH_NAME
        except EgressRefusedError as error:
            code = ResponseCode.NO_SUCH_NAME
            if query.kind == A:  # programs ask for A and AAAA; one line is enough
                await self._log.write_and_wait(str(error))
        except OSError:
            code = ResponseCode.SERVER_FAILURE
        return write_response(query, code, address.packed if address and query.kind == A else None)


def _response_source(extra: _AncillaryData) -> _AncillaryData:
    """Return the ancillary data that sends a response from the address that the query was sent to."""
    for level, kind, content in extra:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return [(level, kind, content[:16] + bytes(4))]
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, _, address = struct.unpack_from("=i4s4s", content)
            return [(level, kind, struct.pack("=i4s4s", 0, address, bytes(4)))]
    return []
