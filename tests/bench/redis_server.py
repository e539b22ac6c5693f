"""A Redis of our own for the peers: on a unix socket, with the log on disk once a second."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.bench.process import ChildError, running, tail

START_SECONDS: Final = 10.0
SETTINGS: Final = "appendonly yes, appendfsync everysec, unix socket"
_PLACES: Final = ("/usr/bin/redis-server", "/usr/sbin/redis-server", "/usr/local/bin/redis-server")


def find_redis() -> str | None:
    """Return the path of redis-server where this machine has one."""
    return shutil.which("redis-server") or next((place for place in _PLACES if Path(place).exists()), None)


@contextlib.asynccontextmanager
async def redis_running(folder: Path) -> AsyncIterator[Path]:
    """Run redis-server in `folder` and give its socket."""
    binary = find_redis()
    if binary is None:
        raise ChildError("redis-server is not installed")
    path = folder / "redis.sock"
    log = folder / "redis.log"
    options = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    durability = ["--appendonly", "yes", "--appendfsync", "everysec"]
    async with running([binary, *options, *durability], log=log):
        try:
            await asyncio.wait_for(_answering(path), START_SECONDS)
        except TimeoutError:
            raise ChildError(f"redis-server did not start:\n{tail(log)}") from None
        yield path


async def _answering(path: Path) -> None:
    """Return once the server answers a PING."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            writer.close()
            if answer == b"+PONG\r\n":
                return
        await asyncio.sleep(0.02)
