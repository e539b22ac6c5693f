"""The head of a response is written with the beginning of its body, and never later than at once."""

import asyncio
from typing import cast

from runwright.http.connection import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Transport:
    def __init__(self) -> None:
        self.calls: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("close")

    def get_write_buffer_size(self) -> int:
        return 7


def joined() -> tuple[Transport, JoinedWrites]:
    transport = Transport()
    return transport, JoinedWrites(cast("asyncio.Transport", transport), asyncio.get_running_loop())


async def test_head_and_body_are_one_write() -> None:
    transport, writes = joined()
    writes.write(HEAD)
    writes.write(b"ok")
    writes.write(b"more")
    await asyncio.sleep(0)
    assert transport.calls == [HEAD + b"ok", b"more"]


async def test_a_head_without_a_body_is_written_in_the_same_turn_of_the_loop() -> None:
    transport, writes = joined()
    writes.write(HEAD)
    assert transport.calls == []
    await asyncio.sleep(0)
    assert transport.calls == [HEAD]


async def test_a_head_is_written_before_the_end_and_before_another_one() -> None:
    transport, writes = joined()
    writes.write(HEAD)
    writes.write(HEAD)
    writes.write(HEAD)
    writes.close()
    assert transport.calls == [HEAD + HEAD, HEAD, "close"]
    assert writes.get_write_buffer_size() == 7
