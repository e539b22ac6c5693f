"""Counts stored results in Redis by the size of the database that holds nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path


@contextlib.asynccontextmanager
async def database_size(socket: Path, *, database: int) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Give a function that asks for the number of keys; O(1) in Redis."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(f"SELECT {database}\r\n".encode())
    await reader.readline()

    async def size() -> int:
        writer.write(b"DBSIZE\r\n")
        return int((await reader.readline())[1:])

    try:
        yield size
    finally:
        writer.close()
