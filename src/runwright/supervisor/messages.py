"""What a supervisor and its children send each other over their socket: length, then one message."""

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from runwright.runtimes.host import Host
from runwright.telemetry.prometheus import Family

_LENGTH: Final = struct.Struct("!I")

T = TypeVar("T")


class DrainRequested(msgspec.Struct, frozen=True, tag=True):
    """To a child: finish what runs and end."""


class DrainForced(msgspec.Struct, frozen=True, tag=True):
    """To a child: give up what still runs."""


class GroupState(msgspec.Struct, frozen=True, tag=True):
    """To a child: whether every kind of child is there, and which ones keep ending."""

    serving: bool = True
    problems: Sequence[str] = ()


class SnapshotRequested(msgspec.Struct, frozen=True, tag=True):
    """To a child: send your metrics."""

    number: int


class GroupMetrics(msgspec.Struct, frozen=True, tag=True):
    """To a child: the metrics of all, added up."""

    number: int
    families: Sequence[Family]


class ChildReady(msgspec.Struct, frozen=True, tag=True):
    """From a child: it serves; with the URL of its API, if it has one, and what it knows of this machine."""

    url: str | None
    host: Host


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """From a child: its metrics."""

    number: int
    families: Sequence[Family]


class GroupMetricsRequested(msgspec.Struct, frozen=True, tag=True):
    """From a child: send the metrics of all."""

    number: int


ToChild = DrainRequested | DrainForced | GroupState | SnapshotRequested | GroupMetrics
FromChild = ChildReady | Snapshot | GroupMetricsRequested


class Channel(Generic[T]):
    """One end of the socket; `T` is what arrives."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: "msgspec.msgpack.Decoder[T]",
    ) -> None:
        self._reader, self._writer, self._decoder = reader, writer, decoder
        self._encoder = msgspec.msgpack.Encoder(enc_hook=str)

    async def receive(self) -> T | None:
        """Return the next message, or None when the other process has gone."""
        frame = await self.receive_bytes()
        return None if frame is None else self._decoder.decode(frame)

    async def receive_bytes(self) -> bytes | None:
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            return None

    def send(self, message: ToChild | FromChild) -> None:
        """Send a message soon; nothing happens where the other process has gone."""
        self.send_bytes(self._encoder.encode(message))

    def send_bytes(self, frame: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(frame)) + frame)

    def close(self) -> None:
        self._writer.close()


async def open_channel(own_end: socket.socket, decoder: "msgspec.msgpack.Decoder[T]") -> Channel[T]:
    """Return the channel over one end of a pair of sockets."""
    return Channel(*await asyncio.open_unix_connection(sock=own_end), decoder)
