"""Other processes: finding, reading and signalling them."""

import ctypes
import errno
import os
import resource
import signal
import stat

from escape_kit import (
    CANARY,
    StoppedError,
    Targets,
    any_of,
    attempt,
    call,
    find_canary,
    first_of,
    read_canary,
)

PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def _pids(targets: Targets) -> list[int]:
    return sorted(
        {1, os.getppid(), targets["pid"], *(int(x) for x in os.listdir("/proc") if x.isdigit())} - {0}
    )


def _is_file(path: str) -> bool:
    """Return whether it is a file: neither closed by now, nor a pipe that would be waited for."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


@attempt()
def command_lines(targets: Targets) -> str:
    """Find another process's secret on its command line in /proc."""
    return any_of(_pids(targets), lambda pid: read_canary(f"/proc/{pid}/cmdline"))


@attempt()
def environments(targets: Targets) -> str:
    """Find another process's secret in its environment in /proc."""
    others = [pid for pid in _pids(targets) if pid != os.getpid()]
    return any_of(others, lambda pid: read_canary(f"/proc/{pid}/environ"))


@attempt()
def environment_of_the_server(_targets: Targets) -> str:
    """Find the server's environment in its own, and in those of init and its parent."""
    own = "\0".join(f"{key}={value}" for key, value in os.environ.items()).encode()
    paths = ["/proc/self/environ", "/proc/1/environ", f"/proc/{os.getppid()}/environ"]
    return first_of(lambda: find_canary(own, "its own environment"), lambda: any_of(paths, read_canary))


def _regions(pid: int) -> list[tuple[int, int]]:
    """Return the address ranges of a process's heap and anonymous memory."""
    regions = []
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            span, access, *rest = line.split()
            begin, _, end = span.partition("-")
            if access.startswith("rw") and (len(rest) < 4 or rest[3] == "[heap]"):
                regions.append((int(begin, 16), int(end, 16)))
    return regions


@attempt()
def memory_by_proc(targets: Targets) -> str:
    """Find a secret in another process's memory by /proc/PID/mem."""
    regions = _regions(targets["pid"])
    with open(f"/proc/{targets['pid']}/mem", "rb", buffering=0) as memory:
        for begin, end in regions:
            memory.seek(begin)
            if CANARY.search(memory.read(min(end - begin, 1 << 24)) or b""):
                return "found the secret in its memory"
    raise StoppedError("no canary in its memory")


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@attempt()
def memory_by_process_vm_readv(targets: Targets) -> str:
    """Read another process's memory by process_vm_readv."""
    buffer = ctypes.create_string_buffer(4096)
    near = _Vector(ctypes.addressof(buffer), 4096)
    far = _Vector(targets["address"], 4096)
    size = call("process_vm_readv", targets["pid"], ctypes.byref(near), 1, ctypes.byref(far), 1, 0)
    return find_canary(buffer.raw[:size], "its memory")


@attempt()
def attaching_by_ptrace(targets: Targets) -> str:
    """Attach to another process by ptrace."""
    call("ptrace", PTRACE_ATTACH, targets["pid"], 0, 0)
    os.waitpid(targets["pid"], 0x40000000)  # __WALL
    call("ptrace", PTRACE_DETACH, targets["pid"], 0, 0)
    return "attached to it"


@attempt()
def stealing_by_pidfd_getfd(targets: Targets) -> str:
    """Duplicate another process's descriptor by pidfd_getfd."""
    pidfd = call("pidfd_open", targets["pid"], 0)
    fd = call("pidfd_getfd", pidfd, targets["fd"], 0)
    return find_canary(os.pread(fd, 4096, 0), "its descriptor")


@attempt()
def descriptors_by_proc(targets: Targets) -> str:
    """Open other processes' files through /proc/PID/fd."""
    others = [pid for pid in _pids(targets) if pid != os.getpid()]

    def look(pid: int) -> str:
        folder = f"/proc/{pid}/fd"
        return any_of(filter(_is_file, (f"{folder}/{name}" for name in os.listdir(folder))), read_canary)

    return any_of(others, look)


@attempt()
def comparing_by_kcmp(targets: Targets) -> str:
    """Compare kernel objects of another process with its own by kcmp."""
    return f"compared: {call('kcmp', os.getpid(), targets['pid'], 0, 0, 0)}"


@attempt(check="victim")
def killing_another_process(targets: Targets) -> str:
    """Kill a host process by its pid."""
    os.kill(targets["victim"], signal.SIGKILL)
    return "the signal was sent"


@attempt(check="victim")
def killing_by_pidfd(targets: Targets) -> str:
    """Kill a host process by a pidfd."""
    signal.pidfd_send_signal(call("pidfd_open", targets["victim"], 0), signal.SIGKILL)
    return "the signal was sent"


@attempt(check="victim")
def killing_a_process_group(targets: Targets) -> str:
    """Kill a process group of the host."""
    os.killpg(targets["victim"], signal.SIGKILL)
    return "the signal was sent"


@attempt()
def signalling_all_processes(_targets: Targets) -> str:
    """Signal every process (kill -1 with signal 0, which only checks)."""
    os.kill(-1, 0)
    return "it may signal other processes"


@attempt()
def signalling_init(targets: Targets) -> str:
    """Signal the host's init (with signal 0, which only checks)."""
    os.kill(1, 0)
    with open("/proc/1/stat") as stat:
        started = stat.read().rpartition(")")[2].split()[19]
    if started != targets["init_started"]:
        raise StoppedError("pid 1 is the sandbox's own")
    return "it may signal the host's init"


@attempt()
def sweeping_pids(targets: Targets) -> str:
    """Find a process of the host that it may signal, by trying every pid."""
    own = set(_pids({"pid": 1}))
    for pid in range(2, max(targets["pid"], targets["victim"]) + 1):
        if pid in own - {targets["pid"], targets["victim"]}:
            continue
        try:
            os.kill(pid, 0)
        except OSError:
            continue
        if pid in (targets["pid"], targets["victim"]):
            return f"reached process {pid}"
    raise ProcessLookupError(errno.ESRCH, "no pid of the host may be signalled")


@attempt()
def priority_of_another_process(targets: Targets) -> str:
    """Change another process's priority."""
    now = os.getpriority(os.PRIO_PROCESS, targets["pid"])
    os.setpriority(os.PRIO_PROCESS, targets["pid"], now)
    return "changed it"


@attempt()
def limits_of_another_process(targets: Targets) -> str:
    """Change another process's limits by prlimit."""
    soft, hard = resource.prlimit(targets["pid"], resource.RLIMIT_NOFILE)
    resource.prlimit(targets["pid"], resource.RLIMIT_NOFILE, (soft, hard))
    return "changed them"


@attempt()
def cpu_affinity_of_another_process(targets: Targets) -> str:
    """Set another process's CPU affinity."""
    os.sched_setaffinity(targets["pid"], os.sched_getaffinity(targets["pid"]))
    return "set it"
