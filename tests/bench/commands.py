"""How long commands take, beside a bare start of the same interpreter; and one that cancels 500 jobs.

The commands alternate, so that whatever else the machine does falls on all of them.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.result import CommandTimes
from tests.bench.server import command_path, make_worker, serving

BARE: Final = "python -c pass"
CANCELLED: Final = 500
ROUNDS: Final = 15
_SECONDS: Final = 60.0
_NOBODY: Final = "http://127.0.0.1:9"
_FAR: Final = "2099-01-01T00:00:00Z"


async def measure_commands(folder: Path, rounds: int = ROUNDS) -> CommandTimes:
    """Measure commands on a server that does nothing else."""
    async with serving(folder) as server:
        with server.connect() as connection:
            worker = make_worker(connection)
            jobs = [{"worker_id": worker, "scheduled_at": _FAR}] * CANCELLED
            connection.call("POST", "/v1/ava/jobs/batch", {"jobs": jobs})
            key = connection.call("POST", "/v1/keys", {"role": "tenant-system-admin"})["data"]["key"]
        url = f"http://{server.address.host}:{server.address.port}"
        env = {**os.environ, "RUNWRIGHT_URL": url, "RUNWRIGHT_KEY": key, "HOME": str(folder)}
        return await asyncio.to_thread(_measure, env, rounds)


def _measure(env: Mapping[str, str], rounds: int) -> CommandTimes:
    program = str(command_path())
    worker = _completing("runwright run ")
    commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {
        BARE: ((sys.executable, "-c", "pass"), {}),
        "runwright --help": ((program, "--help"), {}),
        "runwright jobs list": ((program, "jobs", "list"), {}),
        "completion of an option": ((program,), _completing("runwright jobs list --wor")),
        "completion of a worker": ((program,), worker),
        "completion without a server": ((program,), {**worker, "RUNWRIGHT_URL": _NOBODY}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, (command, variables) in commands.items():
            seconds[name].append(_run(command, {**env, **variables}))
    middle = {name: 1000 * median(times[1:]) for name, times in seconds.items()}
    cancel = (program, "jobs", "cancel", "--status", "queued", "-y")
    return CommandTimes(milliseconds=middle, cancelled=CANCELLED, cancel_seconds=_run(cancel, env))


def _completing(words: str) -> Mapping[str, str]:
    """Return the variables by which a shell asks for completions of the last word."""
    words_before = str(words.count(" "))
    return {"_RUNWRIGHT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": words_before}


def _run(command: Sequence[str], env: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, timeout=_SECONDS)
    return time.perf_counter() - started
