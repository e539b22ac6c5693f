"""An installation is isolated: it reaches its registry only, and leaves nothing behind."""

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from runwright.builds.build_plan import BuildPlan
from runwright.builds.build_sandbox import BuildLimits, BuildSandbox
from runwright.builds.errors import InstallError
from runwright.builds.log import LOG_BYTES, BuildLog, clean
from runwright.builds.registries import HostPort, Registry
from runwright.runtimes.host import Host
from runwright.sandbox.cgroups import instance_name

NOTHING = Registry()


class BuildHost:
    """A build sandbox, and the log of the last run in it."""

    def __init__(self, host: Host, limits: BuildLimits) -> None:
        self.host = host
        self.build_sandbox = BuildSandbox(host=host, limits=limits, resolve=self._resolve)
        self.log = BuildLog()
        self.names: dict[str, str] = {"registry.test": "127.0.0.1"}

    async def _resolve(self, name: str) -> list[str]:
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [self.names[name]]

    async def python(self, source: str, *, registry: Registry = NOTHING) -> dict[str, bytes]:
        """Run a python script inside; return the files that it made below `out`."""
        python = self.host.interpreters["python"].path
        plan = BuildPlan(
            files={"/build/in/script.py": source},
            folders=["/build/in", "/build/out", "/build/tmp"],
            commands=[[python, "-I", "script.py"]],
            env={"PATH": "/usr/bin:/bin", "HOME": "/build/home"},
            cwd="/build/in",
            result={"result": "/build/out"},
        )
        return await self.run(plan, registry=registry)

    async def run(self, plan: BuildPlan, *, registry: Registry = NOTHING) -> dict[str, bytes]:
        self.log = BuildLog()
        with tempfile.TemporaryFile() as file:
            await self.build_sandbox.run(plan, mounts={}, registry=registry, result=file, log=self.log)
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                return {
                    m.name: (f.read() if (f := tar.extractfile(m)) else b"") for m in tar if not m.issym()
                }


@pytest.fixture
async def build_host(host: Host) -> AsyncIterator[BuildHost]:
    build_host = BuildHost(host, BuildLimits(seconds=60, memory_mb=256, disk_mb=32))
    build_host.build_sandbox.open()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    yield build_host
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 2, "descriptors were left open"
    assert not [t for t in threading.enumerate() if t.name == "runwright-egress"]
    build_host.build_sandbox.close()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{instance_name()}*/sandbox-*"))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server on this host's loopback that accepts and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


async def test_the_result_has_no_owners_and_times(build_host: BuildHost) -> None:
    made = await build_host.python(
        "import os\n"
        "os.makedirs('/build/out/a/b'); open('/build/out/a/b/x.txt','w').write('hello')\n"
        "os.symlink('b/x.txt', '/build/out/a/link'); os.mkfifo('/build/out/pipe')\n"
        "os.makedirs('/build/out/' + 'long' * 40)\n"
        "print('done')\n"
    )
    assert made["result/a/b/x.txt"] == b"hello"
    assert "result/pipe" not in made
    assert build_host.log.text() == "done\n"


async def test_a_command_that_fails_gives_its_reason_and_no_result(build_host: BuildHost) -> None:
    with pytest.raises(InstallError, match="error: no such thing"):
        await build_host.python("import sys; print('chatter'); sys.exit('error: no such thing')")


async def test_the_registry_is_reached_though_its_address_is_private(
    build_host: BuildHost, listener: socket.socket
) -> None:
    port = port_of(listener)
    registry = Registry(url=f"http://registry.test:{port}/", hosts=(HostPort("registry.test", port),))
    await build_host.python(
        f"import socket; socket.create_connection(('registry.test', {port}), 20).sendall(b'x')",
        registry=registry,
    )
    accepted, _ = listener.accept()
    accepted.close()


async def test_nothing_else_is_reached(build_host: BuildHost, listener: socket.socket) -> None:
    """By no name, address or port; the listener of this test gets no connection."""
    port = port_of(listener)
    build_host.names |= {"evil.test": "127.0.0.1"}
    registry = Registry(
        hosts=(HostPort("registry.test", port),), public_hosts=(HostPort("public.test", port),)
    )
    build_host.names["public.test"] = "127.0.0.1"  # a public host may not have a private address
    made = await build_host.python(
        "import socket, json\n"
        "tried = {}\n"
        "for host in ('evil.test', '127.0.0.1', '::1', '10.0.0.1', '169.254.169.254', '8.8.8.8', 'public.test',\n"
        "             'localhost'):\n"
        "    try:\n"
        f"        sock = socket.create_connection((host, {port}), 20)\n"
        "        sock.settimeout(20)\n"
        "        tried[host] = repr(sock.recv(1) or 'closed')\n"
        "    except OSError as error:\n"
        "        tried[host] = type(error).__name__\n"
        "try:\n"
        "    socket.create_connection(('registry.test', 25), 20); tried['25'] = 'open'\n"
        "except OSError as error:\n"
        "    tried['25'] = type(error).__name__\n"
        "json.dump(tried, open('/build/out/tried', 'w'))\n",
        registry=registry,
    )
    tried = msgspec.json.decode(made["result/tried"], type=dict[str, str])
    assert len(tried) == 9
    assert not [host for host, end in tried.items() if "Error" not in end and "gaierror" not in end], tried
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    log = build_host.log.text()
    assert "network: name evil.test refused" in log, "it is not even looked up"
    assert "network: connection to 169.254.169.254" in log


async def test_the_host_and_the_server_are_not_visible(
    build_host: BuildHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNWRIGHT_PLATFORM_KEY", "of the server")
    made = await build_host.python(
        "import os, json\n"
        "def read(path):\n"
        "    try:\n"
        "        return open(path, 'rb').read().decode('latin-1')\n"
        "    except OSError as error:\n"
        "        return type(error).__name__\n"
        "status = read('/proc/self/status')\n"
        "seen = {'env': dict(os.environ), 'pids': [p for p in os.listdir('/proc') if p.isdigit()],\n"
        "  'root': os.listdir('/'), 'var': os.listdir('/var'), 'uid': os.getuid(), 'shadow': read('/etc/shadow'),\n"
        "  'caps': [l for l in status.splitlines() if l.startswith(('CapEff', 'CapPrm', 'NoNewPrivs'))]}\n"
        "try:\n"
        "    open('/tools/x', 'w'); seen['wrote'] = True\n"
        "except OSError:\n"
        "    seen['wrote'] = False\n"
        "json.dump(seen, open('/build/out/seen', 'w'))\n"
    )
    seen = msgspec.json.decode(made["result/seen"])
    assert "of the server" not in str(seen["env"])
    assert set(seen["env"]) <= {"PATH", "HOME", "LC_CTYPE"}
    assert len(seen["pids"]) <= 4
    assert seen["var"] == ["tmp"]
    assert not {"root", "home", "work", "opt", "srv"} & (
        set(seen["root"]) - interpreter_roots(build_host.host)
    )
    assert seen["uid"] != os.getuid()
    assert seen["shadow"] in {"FileNotFoundError", "PermissionError"}
    assert all(line.split()[1].strip("0") in {"", "1"} for line in seen["caps"]), seen["caps"]
    assert seen["wrote"] is False


def interpreter_roots(host: Host) -> set[str]:
    return {Path(mount).parts[1] for mount in host.interpreters["python"].mounts}


async def test_a_full_disk_is_the_reason(build_host: BuildHost) -> None:
    with pytest.raises(InstallError, match="more than 32 MB of disk"):
        await build_host.python(
            "for n in range(64):\n    open(f'/build/out/{n}', 'wb').write(bytes(1 << 20))\n"
        )


async def test_too_much_memory_is_the_reason(build_host: BuildHost) -> None:
    with pytest.raises(InstallError, match="more than 256 MB of memory"):
        await build_host.python("held = []\nwhile True:\n    held.append(bytearray(1 << 22))\n")


async def test_an_installation_that_never_ends_is_killed_with_all_it_started(host: Host) -> None:
    build_host = BuildHost(host, BuildLimits(seconds=2, memory_mb=256, disk_mb=32))
    build_host.build_sandbox.open()
    try:
        with pytest.raises(InstallError, match="took longer than 2 seconds"):
            await build_host.python(
                "import os, signal, time\n"
                "for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(s, signal.SIG_IGN)\n"
                "for _ in range(20):\n"
                "    if os.fork() == 0: os.setsid(); break\n"
                "time.sleep(1000)\n"
            )
    finally:
        build_host.build_sandbox.close()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{instance_name()}*/sandbox-*"))


async def test_a_fork_bomb_fails_and_is_gone(host: Host) -> None:
    build_host = BuildHost(host, BuildLimits(seconds=20, memory_mb=512, disk_mb=32))
    build_host.build_sandbox.open()
    try:
        with pytest.raises(InstallError):
            await build_host.python("import os\nwhile True:\n    os.fork()\n")
    finally:
        build_host.build_sandbox.close()


@pytest.mark.parametrize("with_cgroups", [True, False])
async def test_a_daemon_does_not_outlive_its_installation(host: Host, with_cgroups: bool) -> None:
    """Its processes are looked for on the host by an argument that nothing else has."""
    if with_cgroups and not host.cgroup_version:
        pytest.skip("this host has no cgroups")
    host = host if with_cgroups else msgspec.structs.replace(host, cgroup_version=0)
    argument = f"1000.{secrets.randbits(40)}"
    build_host = BuildHost(host, BuildLimits(seconds=60, memory_mb=256, disk_mb=32))
    build_host.build_sandbox.open()
    try:
        await build_host.python(
            "import os, time\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork():\n"
            "        os._exit(0)\n"
            f"    os.execv('/bin/sleep', ['sleep', '{argument}'])\n"
            "def daemons():\n"
            "    for pid in filter(str.isdigit, os.listdir('/proc')):\n"
            "        try:\n"
            "            with open(f'/proc/{pid}/cmdline') as file:\n"
            f"                if file.read().split(chr(0))[:2] == ['sleep', '{argument}']: yield pid\n"
            "        except OSError: pass\n"
            "while not list(daemons()): time.sleep(0.01)\n"
            "print('the daemon runs')\n"
        )
        assert "the daemon runs" in build_host.log.text()
        assert not _processes_with_argument(argument)
    finally:
        build_host.build_sandbox.close()


def test_a_daemon_would_be_found() -> None:
    argument = f"1000.{secrets.randbits(40)}"
    with subprocess.Popen(["/bin/sleep", argument]) as process:
        try:
            assert _processes_with_argument(argument) == [process.pid]
        finally:
            process.kill()


def _processes_with_argument(argument: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and argument.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


async def test_cancelling_kills_and_waits(build_host: BuildHost) -> None:
    run = asyncio.create_task(build_host.python("import time; print('up', flush=True); time.sleep(1000)"))
    async with asyncio.timeout(60):
        while "up" not in build_host.log.text():  # noqa: ASYNC110  the log notifies no one
            await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_result_of_sparse_files_is_bounded(build_host: BuildHost) -> None:
    """The size of the result is counted outside: a sparse file counts with its length."""
    with pytest.raises(InstallError, match=r"too large|disk"):
        await build_host.python(
            "import os\n"
            "for n in range(20):\n"
            "    with open(f'/build/out/{n}', 'wb') as f: os.truncate(f.fileno(), 32 << 20)\n"
        )


def test_a_long_log_keeps_beginning_and_end() -> None:
    log = BuildLog()
    log.write(b"first line\n")
    for number in range(40_000):
        log.write(b"%08d %s\n" % (number, b"x" * 60))
    log.write(b"last line\n")
    text = log.text()
    assert text.startswith("first line\n")
    assert text.endswith("last line\n")
    assert "bytes of the log were left out here" in text
    assert len(text) < LOG_BYTES + 200


def test_a_log_has_no_effect_on_a_terminal() -> None:
    hostile = b"\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07 \xe2\x80\xaebidi \x00nul \xff\r\nnext"
    assert clean(hostile) == "red bell bidi nul �\nnext"
