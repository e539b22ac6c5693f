"""What user code can see and reach, at each isolation level of this host."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from runwright.runtimes.host import Host, Isolation
from runwright.runtimes.model import OutcomeStatus
from runwright.sandbox.bubblewrap import find_setpriv
from runwright.sandbox.cgroups import instance_name, open_cgroups
from runwright.sandbox.resource_limits import LEFTOVER_PROCESSES, CgroupLimits, start_time
from tests.integration.conftest import MakeStage, Stage, groups_named
from tests.waiting import until

TRY = """
def attempt(what):
    try:
        return str(what())
    except BaseException as error:
        return type(error).__name__
"""
QUICK = "def handler(input, env):\n    return input\n"


async def attempts(stage: Stage, **tries: str) -> dict[str, str]:
    """Evaluate each expression inside a sandbox; return its value or its error."""
    body = ", ".join(f"{name!r}: attempt(lambda: {code})" for name, code in tries.items())
    source = f"import ctypes, os, socket\n{TRY}\ndef handler(input, env):\n    return {{{body}}}\n"
    output = (await stage.run(source)).output
    assert isinstance(output, dict)
    return output


@pytest.fixture
def strict(host: Host) -> None:
    """Skip where the host is not strict."""
    if host.isolation is not Isolation.STRICT:
        pytest.skip(f"this host is only {host.isolation.wire_name}: {host.missing}")


@pytest.mark.usefixtures("strict")
async def test_nothing_of_the_host_is_visible(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    home = str(Path.home())
    seen = await attempts(
        stage,
        shadow="open('/etc/shadow').read()",
        passwd="len(open('/etc/passwd').readlines())",
        home=f"os.listdir({home!r})",
        here=f"os.listdir({str(tmp_path)!r})",
        repository=f"os.listdir({str(Path(__file__).parent)!r})",
        run="os.listdir('/run')",
        var="os.listdir('/var')",
        processes="sorted(int(p) for p in os.listdir('/proc') if p.isdigit())",
        first="open('/proc/1/environ').read()",
        hostname="os.uname().nodename",
        env="sorted(os.environ)",
    )
    assert seen["shadow"] == "FileNotFoundError"
    assert seen["passwd"] == "2"
    assert seen["home"] in ("FileNotFoundError", "PermissionError", "['.pyenv']", "['.local']")
    assert seen["here"] == seen["run"] == "FileNotFoundError"
    assert seen["var"] == "['tmp']", "a link to its own"
    assert seen["repository"] == "FileNotFoundError"
    assert seen["processes"] == "[1, 2]"
    assert seen["first"] in ("PermissionError", "")
    assert seen["hostname"] == "sandbox"
    names = ["HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "USER"]
    assert seen["env"] == str(names)


@pytest.mark.usefixtures("strict")
async def test_only_the_private_folders_can_be_written(stage: Stage) -> None:
    folders = ["/", "/usr", "/etc", "/dev", "/harness", "/proc", "/proc/sys/kernel", sys.base_prefix]
    tries = {f"p{n}": f"open({folder + '/x'!r}, 'w')" for n, folder in enumerate(folders)}
    seen = await attempts(stage, **tries)
    assert set(seen.values()) <= {"OSError", "PermissionError", "FileNotFoundError"}
    seen = await attempts(
        stage, tmp="os.mkdir('/tmp/d')", work="os.mkdir('/work/d')", shm="os.mkdir('/dev/shm/d')"
    )
    assert set(seen.values()) == {"None"}


@pytest.mark.usefixtures("strict")
async def test_there_is_no_network_and_no_socket_of_the_host(stage: Stage) -> None:
    seen = await attempts(
        stage,
        interfaces="[line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]",
        netlink="socket.socket(16, socket.SOCK_RAW)",
        connect="socket.create_connection(('192.0.2.1', 80), 1)",
        vsock="socket.socket(40, socket.SOCK_STREAM)",
        packet="socket.socket(17, socket.SOCK_RAW)",
        alg="socket.socket(38, socket.SOCK_SEQPACKET)",
        inet="socket.socket().close()",
    )
    assert seen["interfaces"] == "['lo']"
    assert seen["connect"] == "OSError"
    assert seen["vsock"] == seen["packet"] == seen["alg"] == "OSError"
    assert seen["inet"] == "None"


@pytest.mark.usefixtures("strict")
async def test_there_are_no_privileges_and_none_can_be_gained(stage: Stage) -> None:
    library = "ctypes.CDLL(None, use_errno=True)"
    seen = await attempts(
        stage,
        uid="os.getuid() > 0 and os.getuid() == os.geteuid() == os.getgid() and os.getgroups() in ([], [os.getgid()])",
        status="[l.split()[1] for l in open('/proc/self/status') if l[:6] in ('CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'CapAmb', 'NoNewP', 'Seccom')]",
        unshare=f"{library}.unshare(0x10000000)",
        namespace=f"{library}.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",
        mount=f"{library}.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        ptrace=f"{library}.ptrace(0, 0, 0, 0)",
        bpf=f"{library}.syscall(321, 0, 0, 0)",
        keyctl=f"{library}.syscall(250, 0, 0, 0)",
        setuid="os.setuid(0)",
        kill="os.kill(1, 9)",
    )
    assert seen["uid"] == "True"
    no_sets = "'0000000000000000', " * 5  # inheritable, permitted, effective, bounding, ambient
    assert seen["status"].startswith(f"[{no_sets}'1', '2'"), f"setpriv: {find_setpriv()}"
    assert seen["unshare"] == seen["mount"] == seen["ptrace"] == "-1"
    if os.uname().machine == "x86_64":
        assert seen["namespace"] == seen["bpf"] == seen["keyctl"] == "-1"
    assert seen["setuid"] == seen["kill"] == "PermissionError"


@pytest.mark.usefixtures("strict")
async def test_two_sandboxes_share_nothing(stage: Stage) -> None:
    if os.geteuid() == 0:
        source = "import os\ndef handler(input, env):\n    return os.getuid()\n"
        first = (await stage.run(source, worker="a")).output
        assert first != (await stage.run(source, worker="b")).output
    write = (
        "def handler(input, env):\n    open('/tmp/x', 'w').write('a'); open('/dev/shm/x', 'w').write('a')\n"
    )
    await stage.run(write, worker="a")
    read = "import os\ndef handler(input, env):\n    return os.listdir('/tmp') + os.listdir('/dev/shm')\n"
    assert (await stage.run(read, worker="b")).output == []


async def test_no_descriptor_of_the_server_reaches_a_sandbox(make_stage: MakeStage) -> None:
    stage = await make_stage()
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    name = str(Path(f"/proc/self/fd/{writer}").readlink())
    try:
        source = "import os\ndef handler(input, env):\n    return [os.readlink(f'/proc/self/fd/{n}') for n in range(200) if os.path.lexists(f'/proc/self/fd/{n}')]\n"
        links = (await stage.run(source)).output
    finally:
        os.close(reader)
        os.close(writer)
    assert isinstance(links, list)
    assert len({link for link in links if link.startswith("pipe:")}) == 2, "stdout and stderr"
    assert name not in links


# Other ways to build a sandbox


def without(host: Host, **changes: object) -> Host:
    """Return the host with some features changed."""
    return msgspec.structs.replace(host, **changes)


@pytest.mark.parametrize("runtime", ["python", "nodejs", "shell"])
async def test_every_runtime_works_without_a_sandbox(make_stage: MakeStage, bare: Host, runtime: str) -> None:
    stage = await make_stage(bare)
    source = {"python": QUICK, "nodejs": "module.exports = ({input}) => input", "shell": "cat"}[runtime]
    for n in range(2):
        assert (await stage.run(source, runtime=runtime, input=b'{"n":%d}' % n)).output == {"n": n}


async def test_without_a_sandbox_a_tree_is_killed_with_its_daemons_and_its_folder_removed(
    make_stage: MakeStage, bare: Host
) -> None:
    stage = await make_stage(bare)
    source = (
        "import os, time\ndef handler(input, env):\n"
        "    if os.fork() == 0:\n        os.setsid()\n        print(os.getpid(), os.getcwd())\n"
        "        time.sleep(1000)\n    time.sleep(1000)\n"
    )
    played = stage.assign(source)
    await stage.until(lambda: len(played.lines) == 2)
    pid, folder = played.lines[1].msg.split()
    stage.pool.kill(played.id)
    await stage.finish(played)
    assert played.outcome.error_code == "executor_lost"
    assert start_time(int(pid)) is None
    await stage.eventually(lambda: not Path(folder).exists())


async def test_without_cgroups_a_watchdog_limits_memory(make_stage: MakeStage, host: Host) -> None:
    stage = await make_stage(without(host, cgroup_version=0))
    source = (
        "import time\ndef handler(input, env):\n    a = []\n"
        "    while True:\n        a.append(bytearray(10**6)); time.sleep(0.001)\n"
    )
    played = await stage.run(source, memory_mb=64)
    assert (played.outcome.status, played.outcome.error_code) == (OutcomeStatus.FAILED, "out_of_memory")
    source = "import subprocess\ndef handler(input, env):\n    subprocess.Popen(['sleep', '1000'])\n"
    await stage.run(source)
    await stage.until(lambda: stage.pool.stats().discarded == {"leftover processes": 1})


THREADS = """
import threading, time
def handler(input, env):
    go, begun = threading.Event(), 0
    try:
        for _ in range(input["threads"]):
            threading.Thread(target=go.wait, daemon=True).start()
            begun += 1
        time.sleep(input["seconds"])
        return begun
    except RuntimeError:
        return "no more"
    finally:
        go.set()
"""


@pytest.mark.parametrize(
    ("most", "threads", "allowed"),
    [
        (64, 40, True),
        (64, 90, False),
        (None, 100, True),
        (None, 200, False),
        (700, 600, True),
        (700, 800, False),
    ],
)
async def test_without_cgroups_a_sandbox_has_as_many_threads_as_its_worker_asks_for(
    make_stage: MakeStage, host: Host, most: int | None, threads: int, *, allowed: bool
) -> None:
    stage = await make_stage(without(host, cgroup_version=0))
    code = msgspec.structs.replace(stage.code(THREADS), key=f"{most} threads", max_processes=most)
    # The watchdog comes by ten times a second; what is too much stays until it does.
    task = {"threads": threads, "seconds": 0.3 if allowed else 60}
    played = stage.assign_code(code, input=json.dumps(task).encode())
    await stage.finish(played)
    if allowed:
        assert played.output == threads
    elif played.outcome.status is OutcomeStatus.COMPLETED:
        assert played.output == "no more"
    else:
        assert f"more than {most or 128} processes and threads" in str(played.outcome.error_message)


@pytest.mark.usefixtures("strict")
async def test_a_user_namespace_isolates_too(make_stage: MakeStage, host: Host) -> None:
    stage = await make_stage(without(host, user_namespace=True, first_uid=0))
    seen = await attempts(
        stage, uid="os.getuid()", setuid="os.setuid(0)", shadow="open('/etc/shadow').read()"
    )
    assert seen == {"uid": "65534", "setuid": "OSError", "shadow": "FileNotFoundError"}


async def test_the_cgroups_of_a_server_that_was_killed_are_removed_by_the_next_one(
    make_stage: MakeStage, host: Host
) -> None:
    if not host.cgroup_version:
        pytest.skip("this host has no cgroups to use")
    script = (
        "import os, signal\nfrom runwright.sandbox.cgroups import open_cgroups, instance_name\n"
        "open_cgroups().create()\nprint(instance_name(), flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    said = subprocess.run(  # noqa: ASYNC221  a moment
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    ).stdout.strip()
    assert said.startswith("runwright-")
    left = groups_named(said)
    assert left
    stage = await make_stage()
    assert not any(path.exists() for path in left)
    await stage.run(QUICK)
    assert groups_named(instance_name())


async def test_two_pools_of_one_process_do_not_touch_each_other(make_stage: MakeStage) -> None:
    first, second = await make_stage(), await make_stage()
    await first.run(QUICK)
    await second.run(QUICK)
    await second.pool.stop()
    assert (await first.run(QUICK)).outcome.status is OutcomeStatus.COMPLETED
    assert first.pool.stats().booted == 1


SWAPS = """
import os, sys, threading
ends = threading.Event()
thread = threading.Thread(target=ends.wait)
thread.start()
print("up", flush=True)
sys.stdin.readline()
ends.set()
thread.join()
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print("swapped", flush=True)
os.wait()
"""
"""Ends a thread that was there from the start, and has a child in its place."""


def test_a_process_in_the_place_of_a_thread_is_found(host: Host) -> None:
    """The group counts as many tasks as before, as a harness with several threads could arrange."""
    if not host.cgroup_version:
        pytest.skip("this host has no cgroups to use")
    groups = open_cgroups()
    assert groups is not None
    limits = CgroupLimits(group := groups.create())
    command = [sys.executable, "-c", SWAPS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        limits.adopt(process.pid)
        limits.settle(process.pid)
        assert (group.tasks(), limits.unchanged(), limits.leftovers()) == (2, True, None)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"swapped\n"
        until(group.tasks, lambda tasks: tasks == 2)  # the kernel takes its time with a thread that is joined
        assert (group.tasks(), limits.unchanged(), limits.leftovers()) == (2, False, LEFTOVER_PROCESSES)
    groups.close()
