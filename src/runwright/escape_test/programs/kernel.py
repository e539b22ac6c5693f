"""The kernel itself: its settings, its clocks, its doors."""

import ctypes
import errno
import mmap
import os
import struct
import time

from escape_kit import Bait, StoppedError, attempt, call, each, find_mark, first_of, in_child, passes


def _rewrite(path: str) -> str:
    """Write what a file of the kernel holds already."""
    with open(path) as file:
        now = file.read()
    with open(path, "w") as file:
        file.write(now)
    return f"wrote {path}"


@attempt()
def kernel_settings(_bait: Bait) -> str:
    """Write /proc/sys, among it the program that the kernel runs as root for a core dump."""
    paths = ("kernel/core_pattern", "kernel/modprobe", "vm/overcommit_memory", "fs/file-max")
    return each(paths, lambda path: _rewrite(f"/proc/sys/{path}"))


@attempt()
def kernel_magic_keys(_bait: Bait) -> str:
    """Open /proc/sysrq-trigger, by which the host can be stopped."""
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))
    return "could write to it"


@attempt()
def kernel_objects(_bait: Bait) -> str:
    """Write to /sys."""
    paths = ("kernel/mm/transparent_hugepage/enabled", "kernel/mm/ksm/run", "kernel/profiling", "power/state")

    def reach(path: str) -> str:
        os.close(os.open(f"/sys/{path}", os.O_WRONLY))
        return f"could write to /sys/{path}"

    return each(paths, reach)


@attempt()
def kernel_memory(_bait: Bait) -> str:
    """Open the kernel's memory, /proc/kcore, or its symbols with their addresses."""

    def symbols() -> str:
        with open("/proc/kallsyms") as file:
            lines = [file.readline() for _ in range(200)]
        if all(not line or int(line.split()[0], 16) == 0 for line in lines):
            raise StoppedError("every address in /proc/kallsyms is 0")
        return "read the addresses of the kernel"

    def memory() -> str:
        with open("/proc/kcore", "rb", buffering=0) as file:
            return f"read {file.read(4096)[:4]!r}"

    return first_of(memory, symbols)


@attempt(needs=("cgroups",), bare="cgroup")
def raising_its_cgroup_limit(bait: Bait) -> str:
    """Raise the limit of its control group."""
    return each(bait["cgroup_files"], _rewrite)


@attempt(needs=("cgroups",), bare="cgroup")
def leaving_its_cgroup(bait: Bait) -> str:
    """Move itself into the root control group."""
    roots = ["/sys/fs/cgroup", *(os.path.dirname(os.path.dirname(path)) for path in bait["cgroup_files"])]

    def leave(root: str) -> str:
        with open(f"{root}/cgroup.procs", "w") as file:
            file.write("0")
        return f"moved itself to {root}"

    return in_child(lambda: each(reversed(roots), leave))


@attempt(needs=("cgroups",), bare="mounts")
def mounting_cgroups(bait: Bait) -> str:
    """Mount the control groups itself, as the way to a program that the kernel runs as root."""
    folder = bait["disks"][0].encode()

    def mounted(kind: bytes, options: bytes) -> str:
        call("mount", b"none", folder, kind, 0, options)
        call("umount2", folder, 2)
        return f"mounted {kind.decode()}"

    return first_of(lambda: mounted(b"cgroup", b"memory"), lambda: mounted(b"cgroup2", b""))


@attempt()
def changing_the_hostname(_bait: Bait) -> str:
    """Change the hostname (to what it is)."""
    name = os.uname().nodename.encode()
    call("sethostname", name, len(name))
    return "sethostname succeeded"


@attempt()
def setting_the_clock(_bait: Bait) -> str:
    """Set the clock (to what it shows)."""
    now = time.time_ns()
    call("clock_settime", 0, struct.pack("qq", *divmod(now, 10**9)))
    return "clock_settime succeeded"


@attempt()
def steering_the_clock(_bait: Bait) -> str:
    """Let the clock run faster or slower (as fast as it does)."""
    words = ctypes.create_string_buffer(208)
    call("adjtimex", words)
    struct.pack_into("I", words, 0, 0x4000)  # ADJ_TICK, with the tick that was just read
    call("adjtimex", words)
    return "adjtimex succeeded"


@attempt()
def loading_a_module(_bait: Bait) -> str:
    """Load a module into the kernel (one that is none)."""
    return passes((errno.ENOEXEC, errno.EBADF, errno.EFAULT), "init_module", b"\x7fnot", 4, b"")


@attempt()
def rebooting(_bait: Bait) -> str:
    """Reach the call that stops the host (with a command that is none)."""
    return passes((errno.EINVAL,), "reboot", 0xFEE1DEAD, 672274793, 0x12345)


@attempt()
def swapping(_bait: Bait) -> str:
    """Switch swap on (to a file that is not there)."""
    return passes((errno.ENOENT,), "swapon", b"/no/such/file", 0)


@attempt()
def kernel_log(_bait: Bait) -> str:
    """Change what of the kernel's log goes to the console (to what goes there)."""
    with open("/proc/sys/kernel/printk") as file:
        level = int(file.read().split()[0])
    call("syslog", 8, b"", level)
    return "syslog succeeded"


@attempt()
def input_and_output_ports(_bait: Bait) -> str:
    """Talk to the hardware by I/O ports."""
    return in_child(lambda: f"iopl: {call('iopl', 3)}")


@attempt()
def programs_in_the_kernel(_bait: Bait) -> str:
    """Load a BPF program into the kernel."""
    # Set the result to 0, exit.
    code = ctypes.create_string_buffer(struct.pack("<QQ", 0xB7, 0x95), 16)
    licence = ctypes.create_string_buffer(b"GPL")
    kind_tracepoint = 5
    load = 5
    words = struct.pack(
        "IIQQIIQII", kind_tracepoint, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0
    )
    os.close(call("bpf", load, ctypes.create_string_buffer(words, 128), 128))
    return "the kernel took the program"


@attempt()
def performance_counters(_bait: Bait) -> str:
    """Watch all that a processor does by perf_event_open."""
    attributes = ctypes.create_string_buffer(128)
    struct.pack_into("IIQ", attributes, 0, 1, 128, 0)  # a software event: the processor's clock
    os.close(call("perf_event_open", attributes, -1, 0, -1, 0))
    return "it watches processor 0"


@attempt()
def page_faults_of_the_kernel(_bait: Bait) -> str:
    """Stop the kernel at a page fault by userfaultfd."""
    os.close(call("userfaultfd", os.O_CLOEXEC))
    return "it may handle the kernel's page faults"


@attempt()
def files_by_io_uring(bait: Bait) -> str:
    """Open a file of the host by io_uring, which no filter of system calls sees."""
    words = ctypes.create_string_buffer(120)
    ring = call("io_uring_setup", 4, words)
    try:
        return _read_by_ring(ring, struct.unpack_from("<30I", words), bait["file"])
    finally:
        os.close(ring)


def _read_by_ring(ring: int, words: tuple[int, ...], path: str) -> str:
    """Submit one openat and wait for its end; the offsets are those of struct io_uring_params."""
    sq_entries, cq_entries = words[0], words[1]
    sq_tail, sq_array = words[11], words[16]
    cq_head, cq_tail, cqes = words[20], words[21], words[25]
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
        raise StoppedError("io_uring did not answer")
    result = struct.unpack_from("<Qi", completions, cqes)[1]
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    with open(result, "rb") as file:
        return find_mark(file.read(4096), path)


@attempt()
def keys_of_the_server(_bait: Bait) -> str:
    """Read the keys in the kernel's keyring of the server's session."""

    def read(key: int) -> bytes:
        buffer = ctypes.create_string_buffer(4096)
        size = call("keyctl", 11, key, buffer, 4096)
        return buffer.raw[:size]

    ring = read(-3)  # the session's keyring holds the numbers of its keys
    keys = struct.unpack(f"{len(ring) // 4}i", ring)
    return each(keys, lambda key: find_mark(read(key), f"key {key:x}"))
