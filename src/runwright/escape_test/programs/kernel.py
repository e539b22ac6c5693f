"""The kernel: its settings, clocks and interfaces."""

import ctypes
import errno
import mmap
import os
import struct
import time

from escape_kit import (
    StoppedError,
    Targets,
    any_of,
    attempt,
    call,
    check,
    find_canary,
    first_of,
    in_child,
    library,
    reaches_kernel,
)

LAST_CALL = 1023
"""Far above the numbers that Linux has given out."""
NEW_IPC = 0x08000000


def _rewrite(path: str) -> str:
    """Write the current content of a kernel file to it."""
    with open(path) as file:
        now = file.read()
    with open(path, "w") as file:
        file.write(now)
    return f"wrote {path}"


@attempt()
def kernel_settings(_targets: Targets) -> str:
    """Write to /proc/sys, which includes the program that the kernel runs as root for a core dump."""
    paths = ("kernel/core_pattern", "kernel/modprobe", "vm/overcommit_memory", "fs/file-max")
    return any_of(paths, lambda path: _rewrite(f"/proc/sys/{path}"))


@attempt()
def magic_sysrq(_targets: Targets) -> str:
    """Open /proc/sysrq-trigger, which can stop the host, for writing."""
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))
    return "could write to it"


@attempt()
def sysfs(_targets: Targets) -> str:
    """Open files of /sys for writing."""
    paths = ("kernel/mm/transparent_hugepage/enabled", "kernel/mm/ksm/run", "kernel/profiling", "power/state")

    def reach(path: str) -> str:
        os.close(os.open(f"/sys/{path}", os.O_WRONLY))
        return f"could write to /sys/{path}"

    return any_of(paths, reach)


@attempt()
def kernel_memory(_targets: Targets) -> str:
    """Read the kernel's memory, /proc/kcore, or the addresses of its symbols."""

    def symbols() -> str:
        with open("/proc/kallsyms") as file:
            lines = [file.readline() for _ in range(200)]
        if all(not line or int(line.split()[0], 16) == 0 for line in lines):
            raise StoppedError("every address in /proc/kallsyms is 0")
        return "read kernel addresses"

    def memory() -> str:
        with open("/proc/kcore", "rb", buffering=0) as file:
            return f"read {file.read(4096)[:4]!r}"

    return first_of(memory, symbols)


@attempt(needs=("cgroups",), bare="cgroup")
def raising_its_cgroup_limit(targets: Targets) -> str:
    """Raise the limits of its cgroup."""
    return any_of(targets["cgroup_files"], _rewrite)


@attempt(needs=("cgroups",), bare="cgroup")
def leaving_its_cgroup(targets: Targets) -> str:
    """Move itself to the root cgroup."""
    roots = ["/sys/fs/cgroup", *(os.path.dirname(os.path.dirname(path)) for path in targets["cgroup_files"])]

    def leave(root: str) -> str:
        with open(f"{root}/cgroup.procs", "w") as file:
            file.write("0")
        return f"moved itself to {root}"

    return in_child(lambda: any_of(reversed(roots), leave))


@attempt(needs=("cgroups",), bare="mounts")
def mounting_cgroups(targets: Targets) -> str:
    """Mount the cgroup file system, whose release agent the kernel runs as root."""
    folder = targets["disks"][0].encode()

    def mounted(kind: bytes, options: bytes) -> str:
        call("mount", b"none", folder, kind, 0, options)
        call("umount2", folder, 2)
        return f"mounted {kind.decode()}"

    return first_of(lambda: mounted(b"cgroup", b"memory"), lambda: mounted(b"cgroup2", b""))


@attempt()
def changing_the_hostname(_targets: Targets) -> str:
    """Set the hostname (to its current value)."""
    name = os.uname().nodename.encode()
    call("sethostname", name, len(name))
    return "sethostname succeeded"


@attempt()
def setting_the_clock(_targets: Targets) -> str:
    """Set the clock (to its current value)."""
    now = time.time_ns()
    call("clock_settime", 0, struct.pack("qq", *divmod(now, 10**9)))
    return "clock_settime succeeded"


@attempt()
def adjusting_the_clock(_targets: Targets) -> str:
    """Adjust the speed of the clock (to its current value)."""
    parameters = ctypes.create_string_buffer(208)
    call("adjtimex", parameters)
    struct.pack_into("I", parameters, 0, 0x4000)  # ADJ_TICK, with the tick that was just read
    call("adjtimex", parameters)
    return "adjtimex succeeded"


@attempt()
def loading_a_module(_targets: Targets) -> str:
    """Load a kernel module (an invalid one)."""
    return reaches_kernel((errno.ENOEXEC, errno.EBADF, errno.EFAULT), "init_module", b"\x7fnot", 4, b"")


@attempt()
def rebooting(_targets: Targets) -> str:
    """Reboot the host (with an invalid command)."""
    return reaches_kernel((errno.EINVAL,), "reboot", 0xFEE1DEAD, 672274793, 0x12345)


@attempt()
def enabling_swap(_targets: Targets) -> str:
    """Enable swap (on a file that does not exist)."""
    return reaches_kernel((errno.ENOENT,), "swapon", b"/no/such/file", 0)


@attempt()
def kernel_log(_targets: Targets) -> str:
    """Set the console level of the kernel log (to its current value)."""
    with open("/proc/sys/kernel/printk") as file:
        level = int(file.read().split()[0])
    call("syslog", 8, b"", level)
    return "syslog succeeded"


@attempt()
def io_ports(_targets: Targets) -> str:
    """Get access to the hardware's I/O ports."""
    return in_child(lambda: f"iopl: {call('iopl', 3)}")


@attempt()
def bpf_programs(_targets: Targets) -> str:
    """Load a BPF program into the kernel."""
    # Set the result to 0, exit.
    code = ctypes.create_string_buffer(struct.pack("<QQ", 0xB7, 0x95), 16)
    licence = ctypes.create_string_buffer(b"GPL")
    kind_tracepoint = 5
    load = 5
    parameters = struct.pack(
        "IIQQIIQII", kind_tracepoint, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0
    )
    os.close(call("bpf", load, ctypes.create_string_buffer(parameters, 128), 128))
    return "the kernel loaded the program"


@attempt()
def performance_counters(_targets: Targets) -> str:
    """Monitor a CPU by perf_event_open."""
    attributes = ctypes.create_string_buffer(128)
    struct.pack_into("IIQ", attributes, 0, 1, 128, 0)  # a software event: the processor's clock
    os.close(call("perf_event_open", attributes, -1, 0, -1, 0))
    return "it monitors CPU 0"


@attempt()
def kernel_page_faults(_targets: Targets) -> str:
    """Handle the kernel's page faults by userfaultfd."""
    os.close(call("userfaultfd", os.O_CLOEXEC))
    return "it may handle the kernel's page faults"


@attempt()
def files_by_io_uring(targets: Targets) -> str:
    """Open a file of the host by io_uring, which bypasses seccomp filters."""
    parameters = ctypes.create_string_buffer(120)
    ring = call("io_uring_setup", 4, parameters)
    try:
        return _read_by_ring(ring, struct.unpack_from("<30I", parameters), targets["file"])
    finally:
        os.close(ring)


def _read_by_ring(ring: int, parameters: tuple[int, ...], path: str) -> str:
    """Submit one openat and wait for its end; the offsets are those of struct io_uring_params."""
    sq_entries, cq_entries = parameters[0], parameters[1]
    sq_tail, sq_array = parameters[11], parameters[16]
    cq_head, cq_tail, cqes = parameters[20], parameters[21], parameters[25]
    submissions = mmap.mmap(ring, sq_array + 4 * sq_entries, offset=0)
    completions = mmap.mmap(ring, cqes + 16 * cq_entries, offset=0x8000000)
    entries = mmap.mmap(ring, 64 * sq_entries, offset=0x10000000)
    name = ctypes.create_string_buffer(path.encode())
    entries[:64] = struct.pack("<BBHiQQIIQ", 18, 0, 0, -100, 0, ctypes.addressof(name), 0, 0, 1).ljust(
        64, b"\0"
    )
    struct.pack_into("<I", submissions, sq_array, 0)
    struct.pack_into("<I", submissions, sq_tail, 1)
    call("io_uring_enter", ring, 1, 1, 1, 0, 0)
    head, tail = (struct.unpack_from("<I", completions, at)[0] for at in (cq_head, cq_tail))
    if head == tail:
        raise StoppedError("io_uring completed nothing")
    with open(check(struct.unpack_from("<Qi", completions, cqes)[1]), "rb") as file:
        return find_canary(file.read(4096), path)


@attempt()
def session_keyring(_targets: Targets) -> str:
    """Read the keys in the server's session keyring."""

    def read(key: int) -> bytes:
        buffer = ctypes.create_string_buffer(4096)
        size = call("keyctl", 11, key, buffer, 4096)
        return buffer.raw[:size]

    ring = read(-3)  # the session's keyring holds the numbers of its keys
    keys = struct.unpack(f"{len(ring) // 4}i", ring)
    return any_of(keys, lambda key: find_canary(read(key), f"key {key:x}"))


@attempt(needs=("filter",))
def every_system_call(targets: Targets) -> str:
    """Make every system call that the filter does not list, with invalid arguments."""
    listed = frozenset(targets["listed_calls"])
    numbers = [number for number in range(LAST_CALL + 1) if number not in listed]
    results = _try_calls(numbers)
    refusals = {errno.EPERM, errno.ENOSYS}
    reached = [
        f"{number} ({result})"
        for number, result in zip(numbers, results, strict=True)
        if result not in refusals
    ]
    if reached:
        return f"the kernel answered {', '.join(reached)}"
    raise StoppedError(f"{len(numbers)} calls failed with EPERM or ENOSYS")


def _try_calls(numbers: list[int]) -> list[int]:
    """Return the error numbers of calls with invalid arguments: 0 for success, 255 for one that kills."""
    results: list[int] = []
    while len(results) < len(numbers):
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reader)
            _report_calls(numbers[len(results) :], writer)
        os.close(writer)
        with open(reader, "rb") as pipe:
            results += pipe.read()
        os.waitpid(pid, 0)
        if len(results) < len(numbers):
            results.append(255)
    return results


def _report_calls(numbers: list[int], writer: int) -> None:
    """Make the calls and write one byte for each result."""
    os.setsid()  # without a sandbox vhangup would reach the terminal, and msgget the host's queues
    library.unshare(NEW_IPC)
    for number in numbers:
        result = library.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
        os.write(writer, bytes([ctypes.get_errno() if result == -1 else 0]))
    os._exit(0)
