"""Child processes of the bench: started in a session of their own, and always ended."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
STOP_SECONDS: Final = 20.0


class ChildError(Exception):
    """A child process failed; the message ends with the last lines of its log."""


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder that a server running as another user may pass through; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rwbench-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with the interpreter of the bench."""
    return [sys.executable, "-m", module, *arguments]


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command until the block ends, then stop its whole process group."""
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            stdout=sink if stdout is None else stdout,
            stderr=sink,
            env={**os.environ, **(env or {})},
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask the leader to end, then end whatever is left of its group."""
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def output_of(command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> bytes:
    """Run a command to its end and return what it wrote to stdout."""
    async with running(command, log=log, env=env, stdout=subprocess.PIPE) as process:
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise ChildError(f"{command[2] if len(command) > 2 else command[0]} failed:\n{tail(log)}")
        return output


def tail(log: Path, lines: int = 12) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
