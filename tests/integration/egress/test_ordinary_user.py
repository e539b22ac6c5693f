"""A server that runs as an ordinary user gives its workers a network with a policy too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import runwright

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
NOBODY = 65534
SCRIPT = """
import asyncio, os, socket
from runwright.core.clock import system_clock
from runwright.egress import Egress, dial
from runwright.runtimes.model import Assignment, WorkerCode
from runwright.runtimes.pool.pool import Pool, PoolSettings
from runwright.runtimes.probe import probe_host

SOURCE = b'''
import socket
def handler(input, env):
    answers = []
    for host in ("api.example", "10.0.0.1"):
        try:
            with socket.create_connection((host, 443), 10) as s:
                answers.append(s.recv(9).decode())
        except OSError as error:
            answers.append(type(error).__name__)
    return answers
'''

async def main():
    host = probe_host()
    print(os.geteuid(), host.network, [m.what for m in host.missing if m.what == "outgoing network"])
    async def hello(reader, writer):
        writer.write(b"hello"); writer.close()
    server = await asyncio.start_server(hello, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def resolve(name): return ["93.184.216.34"]
    async def to_us(address, _): return await dial(type(address)("127.0.0.1"), port)
    egress = Egress(resolve=resolve, dial=to_us)
    egress.start()
    ended, lines = asyncio.get_running_loop().create_future(), []
    pool = Pool(settings=PoolSettings(prebooted={}), host=host, clock=system_clock, egress=egress,
        on_started=lambda *_: None, on_line=lambda _, line: lines.append(line.msg),
        on_outcome=lambda _, outcome: ended.set_result(outcome), on_capacity=lambda: None)
    await pool.start()
    code = WorkerCode(key="k", tenant_id="t", worker_id="w", version=1, runtime="python", entrypoint="main.py",
        source=SOURCE, memory_mb=256, network="public")
    pool.assign(Assignment(id=1, job_id="j", attempt=1, code=code, input=b"{}", env={}, timeout_seconds=30))
    outcome = await ended
    print(outcome.output.decode() if outcome.output else outcome)
    print(lines[1])
    await pool.stop()
    egress.stop()
    server.close()

asyncio.run(main())
"""


def packages() -> str:
    """Return the folders with our code and its dependencies."""
    ours = Path(next(iter(runwright.__path__))).parent
    return os.pathsep.join([str(ours), *(path for path in sys.path if path.endswith("site-packages"))])


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"PYTHONPATH": packages(), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def interpreter() -> str:
    """A python of this version that an ordinary user may run, with our packages on its path."""
    name = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        if as_nobody(name, "-c", "import runwright, msgspec").returncode == 0:
            return name
    except OSError:
        pass
    pytest.skip("no ordinary user can read this installation")


def test_workers_of_an_ordinary_users_server_reach_allowed_hosts(interpreter: str) -> None:
    done = as_nobody(interpreter, "-c", SCRIPT)
    lines = done.stdout.splitlines()
    assert lines[:1] == [f"{NOBODY} True []"], done.stderr
    assert lines[1:] == [
        '["hello","ConnectionResetError"]',
        "network: connection to 10.0.0.1:443 refused (private address)",
    ]
