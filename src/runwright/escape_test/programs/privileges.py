"""Privileges: gaining users, capabilities, limits and priorities."""

import ctypes
import mmap
import os
import resource
import signal
import struct
import subprocess
import time

from escape_kit import (
    StoppedError,
    Targets,
    any_of,
    attempt,
    call,
    forked,
    in_child,
    prctl,
    read_report,
    set_limit,
)

CAP_NET_RAW, CAP_SYS_ADMIN = 13, 21
EFFECTIVE, PERMITTED, INHERITABLE = 0, 1, 2
_VERSION = 0x20080522
SUID = 0o4000


@attempt()
@forked
def becoming_root(_targets: Targets) -> str:
    """Become root by setuid(0)."""
    os.setresuid(0, 0, 0)
    return f"its uid is {os.getuid()}"


@attempt()
@forked
def joining_a_group(_targets: Targets) -> str:
    """Join the host's root group by setgroups and setgid."""
    os.setgroups([0])
    os.setgid(0)
    return f"its groups are {os.getgroups()}"


@attempt(bare="unprivileged", needs=("a setuid program of root's",))
def setuid_programs(_targets: Targets) -> str:
    """Run setuid root programs and check whether they become root."""
    names = ("su", "mount", "passwd", "chsh", "newgrp", "gpasswd", "sudo", "ping", "pkexec", "umount", "chfn")
    paths = [f"{folder}/{name}" for folder in ("/usr/bin", "/bin") for name in names]
    setuid = [p for p in paths if os.path.exists(p) and os.stat(p).st_mode & SUID and not os.stat(p).st_uid]
    if not setuid:
        raise StoppedError("no setuid program is visible")
    return any_of(setuid, _run_setuid)


def _run_setuid(path: str) -> str:
    """Run a program that blocks on its full output, and return its effective uid if that is root."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    effective = "unknown"
    child = subprocess.Popen([path, "--help"], stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    try:
        for _ in range(40):
            with open(f"/proc/{child.pid}/status") as status:
                lines = dict(line.split(":", 1) for line in status)
            name, effective = lines["Name"].strip(), lines["Uid"].split()[1]
            if name == os.path.basename(path)[:15] and effective == "0":
                return f"{path} runs as root"
            time.sleep(0.001)
    finally:
        child.kill()
        child.wait()
        os.close(reader)
        os.close(writer)
    raise StoppedError(f"{path} runs as uid {effective}")


def _add_capability(capability: int, *places: int) -> None:
    """Add a capability to some of the sets of this process."""
    header = struct.pack("Ii", _VERSION, 0)
    buffer = ctypes.create_string_buffer(24)
    call("capget", header, buffer)
    sets = list(struct.unpack("6I", buffer.raw))
    for place in places:
        sets[place] |= 1 << capability
    call("capset", header, struct.pack("6I", *sets))


@attempt()
@forked
def raising_capabilities(_targets: Targets) -> str:
    """Acquire CAP_SYS_ADMIN by capset."""
    _add_capability(CAP_SYS_ADMIN, EFFECTIVE, PERMITTED)
    return "capset gave it CAP_SYS_ADMIN"


@attempt()
@forked
def ambient_capabilities(_targets: Targets) -> str:
    """Pass CAP_NET_RAW to the programs it starts, by the ambient set."""
    _add_capability(CAP_NET_RAW, INHERITABLE)
    prctl(47, 2, CAP_NET_RAW)
    return "the programs it starts have CAP_NET_RAW"


@attempt(bare="machine x86_64", needs=("x86_64",))
def other_system_call_table(_targets: Targets) -> str:
    """Set the hostname by the 32-bit system call, past a filter for the 64-bit ones."""
    if os.uname().machine != "x86_64":
        raise StoppedError("this machine has one system call table")

    def cross() -> str:
        name = os.uname().nodename.encode()
        page = mmap.mmap(-1, 8192, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, flags=0x22 | 0x40)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        page[4096 : 4096 + len(name)] = name
        # push rbx; mov eax, 74 (sethostname); mov ebx, name; mov ecx, length; int 0x80; pop rbx; ret
        code = b"\x53\xb8" + struct.pack("<I", 74) + b"\xbb" + struct.pack("<I", address + 4096)
        code += b"\xb9" + struct.pack("<I", len(name)) + b"\xcd\x80\x5b\xc3"
        page[: len(code)] = code
        result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        if result:
            raise OSError(-result, os.strerror(-result))
        return "the 32-bit sethostname succeeded"

    return in_child(cross)


@attempt(bare="limits")
@forked
def raising_limits(_targets: Targets) -> str:
    """Raise its limits of open files, processes and file size."""
    for kind, limit in ((resource.RLIMIT_NOFILE, 4096), (resource.RLIMIT_FSIZE, 1 << 40)):
        _, hard = resource.getrlimit(kind)
        enough = hard == resource.RLIM_INFINITY or hard >= limit
        set_limit(kind, limit, hard if enough else limit)
    return "it may open 4096 files and write 1 TiB"


@attempt(bare="limits")
def core_dump(targets: Targets) -> str:
    """Leave a core dump in the working directory."""
    os.chdir(targets["disks"][0])

    def die() -> str:
        set_limit(resource.RLIMIT_CORE, 1 << 26, 1 << 26)
        os.kill(os.getpid(), signal.SIGSEGV)
        return read_report("")

    try:
        in_child(die)
    except StoppedError:
        with open("/proc/sys/kernel/core_pattern") as pattern:
            piped = pattern.read().strip()
        for name in os.listdir("."):
            if name.startswith("core"):
                os.unlink(name)
                return f"left {name}"
        raise StoppedError(f"no core dump was written (the pattern is {piped})") from None
    raise StoppedError("it survived")


@attempt()
@forked
def raising_its_priority(_targets: Targets) -> str:
    """Lower its niceness below that of other processes."""
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    return "its niceness is -10"


@attempt()
@forked
def real_time_scheduling(_targets: Targets) -> str:
    """Monopolize a CPU by real-time scheduling."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    return "it has a real-time priority"


@attempt()
def real_time_disk(_targets: Targets) -> str:
    """Monopolize the disk by real-time I/O scheduling."""
    return in_child(lambda: f"ioprio_set: {call('ioprio_set', 1, 0, 1 << 13)}")
