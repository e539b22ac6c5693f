"""The socket of one sandbox: messages out and in, and taking back what was not taken."""

import array
import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from runwright.runtimes.protocol import HEADER, MESSAGE_BYTES, FrameKind

_UCRED: Final = struct.Struct("3i")


class FrameSocket:
    """Both ends of a socket pair: ours, and the one that the sandbox holds too."""

    __slots__ = ("_failed", "_loop", "_near", "_outbox", "_readable", "buffer", "far", "view")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, failed: Callable[[], None]) -> None:
        self._loop = loop
        self._failed = failed
        self._outbox: deque[bytes] = deque()
        self._readable = False
        self.buffer = bytearray(MESSAGE_BYTES)
        self.view = memoryview(self.buffer)
        self._near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._near.setblocking(False)  # noqa: FBT003
        self._near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def listen(self, readable: Callable[[], None]) -> None:
        """Call back when a message waits."""
        self.deafen()
        self._loop.add_reader(self._near.fileno(), readable)
        self._readable = True

    def deafen(self) -> None:
        """Call back no more."""
        if self._readable:
            self._loop.remove_reader(self._near.fileno())
            self._readable = False

    def receive_ready(self) -> tuple[int, int] | None:
        """Take the READY message; return pid and uid of its sender, which the kernel vouches for."""
        data, extra, _, _ = self._near.recvmsg(HEADER.size, socket.CMSG_SPACE(_UCRED.size))
        self._near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        if len(data) != HEADER.size or data[0] != FrameKind.READY:
            return None
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid, uid, _ = _UCRED.unpack(content)
                return (pid, uid) if pid > 0 else None
        return None

    def receive(self) -> int:
        """Take one message into `buffer` and return its size; -1 where none waits."""
        try:
            return self._near.recv_into(self.buffer)
        except BlockingIOError:
            return -1
        except OSError:
            return 0

    def send_with_file(self, messages: Sequence[bytes], fd: int) -> None:
        """Send the first messages of all, and a file with the first of them."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            self._near.sendmsg(messages[:1], rights)
        except OSError:
            self._failed()
            return
        self.send(messages[1:])

    def send(self, messages: Iterable[bytes]) -> None:
        """Send messages in order, now or as soon as the socket takes them."""
        self._outbox.extend(messages)
        self._flush()

    def _flush(self) -> None:
        outbox = self._outbox
        while outbox:
            try:
                self._near.send(outbox[0])
            except BlockingIOError:
                self._loop.add_writer(self._near.fileno(), self._flush_more)
                return
            except OSError:
                outbox.clear()
                self._failed()
                return
            outbox.popleft()

    def _flush_more(self) -> None:
        self._loop.remove_writer(self._near.fileno())
        self._flush()

    def recall(self) -> set[int]:
        """Take back every message that the sandbox has not taken; return the tokens in them.

        Each is a whole frame of its own: the caller does not recall parts.
        """
        tokens = {HEADER.unpack_from(message)[4] for message in self._outbox}
        if self._outbox:
            self._outbox.clear()
            self._loop.remove_writer(self._near.fileno())
        with contextlib.suppress(OSError):
            while message := self.far.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT):
                tokens.add(HEADER.unpack_from(message)[4])
        return tokens

    def close(self) -> None:
        """Close both ends."""
        self.deafen()
        self._loop.remove_writer(self._near.fileno())
        self._near.close()
        self.far.close()
