"""Executors as processes of their own, beside a server without one, on a database of the bench."""

import asyncio
import base64
import contextlib
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.process import ChildError, running, tail
from tests.bench.server import READY_SECONDS, command_path, free_port


def split_settings(dsn: str) -> dict[str, str]:
    """Return the settings that all processes on one database share."""
    return {
        "RUNWRIGHT_DATABASE_URL": dsn,
        "RUNWRIGHT_VAULT_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


@contextlib.asynccontextmanager
async def executing(folder: Path, env: dict[str, str], nth: int = 0) -> AsyncIterator[None]:
    """Run an executor until the block ends."""
    log = folder / f"executor-{nth}.log"
    command = [str(command_path()), "serve", "--roles", "executor", "--port", str(free_port())]
    command += ["--data-dir", str(folder / f"executor-{nth}")]
    async with running(command, log=log, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)
        if not line.startswith(b"runwright ready"):
            raise ChildError(f"an executor did not get ready:\n{tail(log)}")
        yield
