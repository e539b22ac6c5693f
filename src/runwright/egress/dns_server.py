"""Answers one sandbox's questions of the DNS, by UDP and by TCP, whatever server it asks.

A name that may not be reached does not exist for it: that makes programs stop at once, where
`refused` would make them ask again. What cannot be found out now is a server failure.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Final, TypeAlias

from runwright.egress.dns import (
    AAAA,
    LARGEST_QUESTION,
    A,
    Code,
    Question,
    read_question,
    write_answer,
)
from runwright.egress.log_limiter import LogLimiter
from runwright.egress.policy_dialer import PolicyDialer, RefusedError
from runwright.egress.resolver import NoSuchNameError

_AT_ONCE: Final = 64
"""Questions that are answered at once; further ones are dropped, and asked again."""
_READS_PER_TURN: Final = 32
_ANCILLARY_BYTES: Final = 256
_QUESTIONS_OF_A_STREAM: Final = 1000
_STREAM_SECONDS: Final = 30.0
_IP_PKTINFO: Final = 8
_Ancillary: TypeAlias = list[tuple[int, int, bytes]]


class DnsServer:
    """Answers until it is closed; it does not own the socket."""

    def __init__(self, names: socket.socket, reach: PolicyDialer, sayings: LogLimiter) -> None:
        self._names = names
        self._reach = reach
        self._sayings = sayings
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(names, self._hear)

    def close(self) -> None:
        """Answer no more."""
        self._loop.remove_reader(self._names)
        for task in self._tasks:
            task.cancel()

    async def answer_stream(self, inside: socket.socket) -> None:
        """Answer the questions of a connection, each after its length, and close it."""
        try:
            async with asyncio.timeout(_STREAM_SECONDS):
                for _ in range(_QUESTIONS_OF_A_STREAM):
                    size = int.from_bytes(await self._receive(inside, 2), "big")
                    answer = await self._answer(await self._receive(inside, size)) if size else None
                    if answer is None:
                        return
                    await self._loop.sock_sendall(inside, len(answer).to_bytes(2, "big") + answer)
        except OSError:
            return
        finally:
            inside.close()

    def _hear(self) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                message, extra, _, sender = self._names.recvmsg(LARGEST_QUESTION + 1, _ANCILLARY_BYTES)
            except OSError:
                return
            if len(self._tasks) < _AT_ONCE:
                task = self._loop.create_task(self._answer_packet(message, _asked_address(extra), sender))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer_packet(self, message: bytes, asked: _Ancillary, sender: tuple[str, int]) -> None:
        answer = await self._answer(message)
        if answer is not None:
            with contextlib.suppress(OSError):
                self._names.sendmsg([answer], asked, 0, sender)

    async def _receive(self, inside: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await self._loop.sock_recv(inside, size - len(data))
            if not more:
                return b""
            data += more
        return data

    async def _answer(self, message: bytes) -> bytes | None:
        question = read_question(message)
        if not isinstance(question, Question):
            return question
        code, address = Code.FINE, None
        try:
            if question.name is None or not question.internet:
                code = Code.NO_SUCH_NAME
            elif question.kind in (A, AAAA):
                address = await self._reach.address_for(question.name)
        except NoSuchNameError:
            code = Code.NO_SUCH_NAME
        except RefusedError as error:
            code = Code.NO_SUCH_NAME
            if question.kind == A:  # a program asks for both kinds; one line is enough
                await self._sayings.tell(str(error))
        except OSError:
            code = Code.SERVER_FAILURE
        return write_answer(question, code, address.packed if address and question.kind == A else None)


def _asked_address(extra: _Ancillary) -> _Ancillary:
    """Return what makes an answer come from the address that was asked."""
    for level, kind, content in extra:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return [(level, kind, content[:16] + bytes(4))]
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, _, asked = struct.unpack_from("=i4s4s", content)
            return [(level, kind, struct.pack("=i4s4s", 0, asked, bytes(4)))]
    return []
