"""Resources: using far more than a worker's limits, but little of what the host has."""

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import sys
import threading
import time

from escape_kit import StoppedError, Targets, attached, attempt, call, hold, library, set_limit

MIB = 1 << 20
PROCESSES = 700
MEMORY_MB = 384
INODES = 120_000


@attempt(memory_mb=256, seconds=10, ends=("handler_error", "out_of_memory"))
def fork_bomb(targets: Targets) -> str:
    """Start 700 processes."""
    children: list[int] = []
    try:
        while len(children) < PROCESSES:
            pid = os.fork()
            if not pid:
                signal.pause()
                os._exit(0)
            children.append(pid)
        hold(targets)
        return f"{len(children)} processes live"
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


@attempt(memory_mb=256, seconds=10, ends=("handler_error",))
def thread_bomb(targets: Targets) -> str:
    """Start 700 threads."""
    threading.stack_size(64 * 1024)
    stop = threading.Event()
    threads = []
    try:
        for _ in range(PROCESSES):
            thread = threading.Thread(target=stop.wait)
            thread.start()
            threads.append(thread)
        hold(targets)
        return f"{len(threads)} threads live"
    except RuntimeError as error:
        raise StoppedError(f"{error} after {len(threads)}") from None
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _touch(pages: mmap.mmap) -> None:
    for at in range(0, len(pages), mmap.PAGESIZE):
        pages[at] = 1


@attempt(memory_mb=64, ends=("out_of_memory",))
def heap_memory(targets: Targets) -> str:
    """Allocate 384 MiB on the heap with 64 MiB allowed."""
    taken = [bytearray(MIB) for _ in range(MEMORY_MB)]
    hold(targets)
    return f"held {len(taken)} MiB"


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_shared_by_processes(targets: Targets) -> str:
    """Allocate 384 MiB of shared memory with 64 MiB allowed."""
    pages = mmap.mmap(-1, MEMORY_MB * MIB)
    _touch(pages)
    hold(targets)
    return f"held {len(pages) // MIB} MiB"


@attempt(memory_mb=64, ends=("out_of_memory",), seconds=15)
def memory_of_many_processes(targets: Targets) -> str:
    """Allocate 32 MiB in each of twelve processes with 64 MiB allowed."""
    reader, writer = os.pipe()
    children = []
    for _ in range(MEMORY_MB // 32):
        pid = os.fork()
        if not pid:
            taken = bytearray(b"x") * (32 * MIB)
            os.write(writer, taken[:1])
            signal.pause()
        children.append(pid)
    os.set_blocking(reader, False)
    holding = 0
    try:
        while holding < len(children):
            time.sleep(0.05)
            if any(os.waitpid(pid, os.WNOHANG)[0] for pid in children):
                raise StoppedError(f"a child was killed when {holding} held their memory")
            with contextlib.suppress(BlockingIOError):
                holding += len(os.read(reader, 100))
        hold(targets)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)
    return f"{holding} processes held 32 MiB each"


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_of_memfds(targets: Targets) -> str:
    """Write 384 MiB to memfds, which are not mapped, with 64 MiB allowed."""
    files = []
    for _ in range(MEMORY_MB // 32):
        fd = os.memfd_create("bomb")
        files.append(fd)
        for _ in range(32):
            os.write(fd, bytes(MIB))
    hold(targets)
    for fd in files:
        os.close(fd)
    return f"held {MEMORY_MB} MiB"


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_of_detached_segments(targets: Targets) -> str:
    """Allocate 384 MiB of detached System V shared memory with 64 MiB allowed."""
    segments = []
    try:
        for _ in range(MEMORY_MB // 32):
            segment = call("shmget", 0, 32 * MIB, 0o1600)
            segments.append(segment)
            with attached(segment) as address:
                ctypes.memset(ctypes.c_void_p(address), 1, 32 * MIB)
        hold(targets)
        return f"held {MEMORY_MB} MiB"
    finally:
        for segment in segments:
            call("shmctl", segment, 0, 0)


def _fill(folder: str, size: int) -> int:
    """Write files to a folder until it is full or `size` MiB are written; return the MiB written."""
    written = 0
    try:
        while written < size:
            with open(f"{folder}/filling-{written}", "wb", buffering=0) as file:
                for _ in range(min(32, size - written)):
                    if file.write(bytes(MIB)) < MIB:
                        return written
                    written += 1
    except OSError:
        return written
    return written


def _clear(folder: str) -> None:
    for name in os.listdir(folder):
        if name.startswith("filling-"):
            os.unlink(f"{folder}/{name}")


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_of_files(targets: Targets) -> str:
    """Keep 192 MiB of files in tmpfs with 64 MiB of memory allowed."""
    try:
        written = sum(_fill(folder, 64) for folder in targets["disks"])
        if written < 150:
            raise StoppedError(f"only {written} MiB could be written")
        hold(targets)
    finally:
        for folder in targets["disks"]:
            _clear(folder)
    return f"kept {written} MiB of files"


def _overfill(folder: str) -> str:
    try:
        written = _fill(folder, 256)
    finally:
        _clear(folder)
    if written < 256:
        raise StoppedError(f"{folder} was full after {written} MiB")
    return f"wrote {written} MiB to {folder}"


@attempt(memory_mb=512)
def disk_of_tmp(targets: Targets) -> str:
    """Write 256 MiB to /tmp."""
    return _overfill(targets["disks"][0])


@attempt(memory_mb=512)
def disk_of_work(targets: Targets) -> str:
    """Write 256 MiB to the working folder."""
    return _overfill(targets["disks"][1])


@attempt(memory_mb=512)
def disk_of_shared_memory(targets: Targets) -> str:
    """Write 256 MiB to /dev/shm."""
    return _overfill(targets["disks"][2])


@attempt(memory_mb=64, ends=("out_of_memory",), seconds=15)
def inodes(targets: Targets) -> str:
    """Create 120,000 empty files."""
    made = 0
    try:
        for made in range(INODES):
            os.close(os.open(f"{targets['disks'][made % 2]}/filling-{made}", os.O_CREAT | os.O_WRONLY))
        hold(targets)
    except OSError as error:
        raise StoppedError(f"{error.strerror} after {made} files") from None
    finally:
        for folder in targets["disks"][:2]:
            _clear(folder)
    return f"created {INODES} files"


@attempt(bare="limits")
def giant_file(targets: Targets) -> str:
    """Create a sparse file of 1 TiB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = f"{targets['sparse']}/giant"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        os.ftruncate(fd, 1 << 40)
    finally:
        os.close(fd)
        os.unlink(path)
    return "created it"


@attempt(bare="limits")
def open_files(_targets: Targets) -> str:
    """Hold 3,000 files open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    set_limit(resource.RLIMIT_NOFILE, hard, hard)
    held: list[int] = []
    try:
        while len(held) < 3000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for fd in held:
            os.close(fd)
    return "held 3,000"


@attempt(memory_mb=64)
def locked_memory(_targets: Targets) -> str:
    """Lock 16 MiB of memory, which is then never swapped out."""
    pages = mmap.mmap(-1, 16 * MIB)
    if library.mlock(ctypes.byref(ctypes.c_char.from_buffer(pages)), len(pages)):
        raise OSError(ctypes.get_errno(), "mlock")
    return "locked 16 MiB"


@attempt(seconds=1.0, ends=("timeout",))
def unbounded_cpu_time(targets: Targets) -> str:
    """Use the CPU for longer than the job may run."""
    end = time.monotonic() + targets["overrun_seconds"]
    while time.monotonic() < end:
        pass
    return f"ran for {targets['overrun_seconds']:g} seconds with 1 allowed"


@attempt(seconds=1.0, ends=("timeout",))
def ignoring_signals(targets: Targets) -> str:
    """Ignore every signal and exceed the job's timeout."""
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(targets["overrun_seconds"])
    return "exceeded it"


@attempt(check="log", seconds=20)
def unbounded_log(_targets: Targets) -> str:
    """Write 16 MiB to the job's log."""
    for _ in range(16 * 64):
        sys.stdout.write("x" * 16_383 + "\n")
    return "wrote 16 MiB"


@attempt(check="log", seconds=20)
def log_past_the_harness(_targets: Targets) -> str:
    """Write 16 MiB to the descriptor behind the job's log."""
    for _ in range(16 * 64):
        os.write(1, b"y" * 16_383 + b"\n")
    return "wrote 16 MiB"


@attempt(ends=("output_too_large",))
def unbounded_output(_targets: Targets) -> str:
    """Return 8 MiB of output."""
    return "z" * 8 * MIB
