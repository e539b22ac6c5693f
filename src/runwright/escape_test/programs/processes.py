"""Other processes: seeing, reading, signalling them."""

import ctypes
import errno
import os
import resource
import signal

from escape_kit import MARK, Bait, StoppedError, attempt, call, each, find_mark, first_of, read_marked

PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def _pids(bait: Bait) -> list[int]:
    return sorted({1, os.getppid(), bait["pid"], *(int(x) for x in os.listdir("/proc") if x.isdigit())} - {0})


@attempt()
def command_lines(bait: Bait) -> str:
    """Find another process's secret on its command line in /proc."""
    return each(_pids(bait), lambda pid: read_marked(f"/proc/{pid}/cmdline"))


@attempt()
def environments(bait: Bait) -> str:
    """Find another process's secret in its environment in /proc."""
    others = [pid for pid in _pids(bait) if pid != os.getpid()]
    return each(others, lambda pid: read_marked(f"/proc/{pid}/environ"))


@attempt()
def environment_of_the_server(_bait: Bait) -> str:
    """Find the server's environment in one's own, and in that of init and parent."""
    own = "\0".join(f"{key}={value}" for key, value in os.environ.items()).encode()
    paths = ["/proc/self/environ", "/proc/1/environ", f"/proc/{os.getppid()}/environ"]
    return first_of(lambda: find_mark(own, "the own environment"), lambda: each(paths, read_marked))


def _regions(pid: int) -> list[tuple[int, int]]:
    """Return where a process keeps its heap."""
    regions = []
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            span, access, *rest = line.split()
            begin, _, end = span.partition("-")
            if access.startswith("rw") and (len(rest) < 4 or rest[3] == "[heap]"):
                regions.append((int(begin, 16), int(end, 16)))
    return regions


@attempt()
def memory_by_proc(bait: Bait) -> str:
    """Find a secret in another process's memory by /proc/PID/mem."""
    regions = _regions(bait["pid"])
    with open(f"/proc/{bait['pid']}/mem", "rb", buffering=0) as memory:
        for begin, end in regions:
            memory.seek(begin)
            if MARK.search(memory.read(min(end - begin, 1 << 24)) or b""):
                return "found the secret in its memory"
    raise StoppedError("nothing of the bait in its memory")


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@attempt()
def memory_by_process_vm_readv(bait: Bait) -> str:
    """Read another process's memory by process_vm_readv."""
    buffer = ctypes.create_string_buffer(4096)
    near = _Vector(ctypes.addressof(buffer), 4096)
    far = _Vector(bait["address"], 4096)
    size = call("process_vm_readv", bait["pid"], ctypes.byref(near), 1, ctypes.byref(far), 1, 0)
    return find_mark(buffer.raw[:size], "its memory")


@attempt()
def attaching_by_ptrace(bait: Bait) -> str:
    """Take another process over by ptrace."""
    call("ptrace", PTRACE_ATTACH, bait["pid"], 0, 0)
    os.waitpid(bait["pid"], 0x40000000)  # __WALL
    call("ptrace", PTRACE_DETACH, bait["pid"], 0, 0)
    return "attached to it"


@attempt()
def stealing_by_pidfd_getfd(bait: Bait) -> str:
    """Take a copy of another process's open file by pidfd_getfd."""
    pidfd = call("pidfd_open", bait["pid"], 0)
    fd = call("pidfd_getfd", pidfd, bait["fd"], 0)
    return find_mark(os.pread(fd, 4096, 0), "its descriptor")


@attempt()
def descriptors_by_proc(bait: Bait) -> str:
    """Open other processes' files by /proc/PID/fd."""
    others = [pid for pid in _pids(bait) if pid != os.getpid()]

    def look(pid: int) -> str:
        folder = f"/proc/{pid}/fd"
        files = [name for name in os.listdir(folder) if os.readlink(f"{folder}/{name}").startswith("/")]
        return each(files, lambda name: read_marked(f"{folder}/{name}"))

    return each(others, look)


@attempt()
def comparing_by_kcmp(bait: Bait) -> str:
    """Compare the kernel's objects of another process with one's own."""
    return f"compared: {call('kcmp', os.getpid(), bait['pid'], 0, 0, 0)}"


@attempt(check="victim")
def killing_another_process(bait: Bait) -> str:
    """Kill a process of the host by its pid."""
    os.kill(bait["victim"], signal.SIGKILL)
    return "the signal was sent"


@attempt(check="victim")
def killing_by_pidfd(bait: Bait) -> str:
    """Kill a process of the host by a pidfd."""
    signal.pidfd_send_signal(call("pidfd_open", bait["victim"], 0), signal.SIGKILL)
    return "the signal was sent"


@attempt(check="victim")
def killing_a_process_group(bait: Bait) -> str:
    """Kill a process group of the host."""
    os.killpg(bait["victim"], signal.SIGKILL)
    return "the signal was sent"


@attempt()
def signalling_everybody(_bait: Bait) -> str:
    """Signal every process there is (kill -1, with the signal that only asks)."""
    os.kill(-1, 0)
    return "there are processes that it may signal"


@attempt()
def signalling_init(bait: Bait) -> str:
    """Signal the host's first process (with the signal that only asks)."""
    os.kill(1, 0)
    with open("/proc/1/stat") as stat:
        started = stat.read().rpartition(")")[2].split()[19]
    if started != bait["init_started"]:
        raise StoppedError("pid 1 is the sandbox's own")
    return "it may signal the host's init"


@attempt()
def sweeping_pids(bait: Bait) -> str:
    """Try every pid for one that may be signalled and is no process of its own."""
    own = set(_pids({"pid": 1}))
    for pid in range(2, max(bait["pid"], bait["victim"]) + 1):
        if pid in own - {bait["pid"], bait["victim"]}:
            continue
        try:
            os.kill(pid, 0)
        except OSError:
            continue
        if pid in (bait["pid"], bait["victim"]):
            return f"reached process {pid}"
    raise ProcessLookupError(errno.ESRCH, "no pid leads outside")


@attempt()
def priority_of_another_process(bait: Bait) -> str:
    """Change another process's priority."""
    now = os.getpriority(os.PRIO_PROCESS, bait["pid"])
    os.setpriority(os.PRIO_PROCESS, bait["pid"], now)
    return "changed it"


@attempt()
def limits_of_another_process(bait: Bait) -> str:
    """Change another process's limits by prlimit."""
    soft, hard = resource.prlimit(bait["pid"], resource.RLIMIT_NOFILE)
    resource.prlimit(bait["pid"], resource.RLIMIT_NOFILE, (soft, hard))
    return "changed them"


@attempt()
def processors_of_another_process(bait: Bait) -> str:
    """Bind another process to other processors."""
    os.sched_setaffinity(bait["pid"], os.sched_getaffinity(bait["pid"]))
    return "bound it"
