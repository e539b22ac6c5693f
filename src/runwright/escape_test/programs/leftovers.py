"""What one job leaves for the next: of another tenant, or of the same worker."""

import builtins
import ctypes
import os
import subprocess
import sys
import time
from typing import NoReturn

from escape_kit import (
    CANARY,
    StoppedError,
    Targets,
    any_of,
    attached,
    attempt,
    call,
    find_canary,
    first_of,
    library,
    read_canary,
)


def leave_files(targets: Targets) -> str:
    """Leave a secret in every writable folder."""
    for folder in (*targets["disks"], os.getcwd()):
        with open(f"{folder}/left-behind", "w") as file:
            file.write(targets["left"])
    return "left"


@attempt(after="leave_files")
def files_of_the_previous_tenant(targets: Targets) -> str:
    """Find the files that the previous tenant's job left in /tmp, /work and /dev/shm."""
    paths = [f"{folder}/left-behind" for folder in (*targets["disks"], os.getcwd())]
    return any_of(paths, read_canary)


def leave_in_the_process(targets: Targets) -> str:
    """Leave a secret in the interpreter."""
    builtins.left_behind = targets["left"]  # type: ignore[attr-defined]
    os.environ["LEFT_BEHIND"] = targets["left"]
    return "left"


@attempt(after="leave_in_the_process")
def process_of_the_previous_tenant(_targets: Targets) -> str:
    """Find what the previous tenant's job left in the interpreter."""
    return find_canary(getattr(builtins, "left_behind", "").encode(), "the interpreter")


@attempt(after="leave_in_the_process")
def environment_of_the_previous_tenant(_targets: Targets) -> str:
    """Find what the previous tenant's job left in the environment."""
    return find_canary("\0".join(os.environ.values()).encode(), "the environment")


def use_the_secret(_targets: Targets) -> str:
    """Use the job's secret, as a worker does, and keep nothing."""
    if not CANARY.search(os.environ.get("CANARY_SECRET", "").encode()):
        raise RuntimeError("the job did not get its secret")
    return "used"


@attempt(after="use_the_secret", same_worker=True, secret=True)
def secret_of_the_previous_job(_targets: Targets) -> str:
    """Find the secret of the previous job of the same worker in the environment and in /proc/self/environ."""
    values = "\0".join(os.environ.values()).encode()
    return first_of(lambda: find_canary(values, "the environment"), lambda: read_canary("/proc/self/environ"))


def leave_code(targets: Targets) -> str:
    """Leave code where an interpreter loads it at its start."""
    home = os.environ.get("HOME", os.getcwd())
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    code = f"import builtins\nbuiltins.left_behind = {targets['left']!r}\n"
    for folder in (f"{home}/.local/lib/{version}/site-packages", os.getcwd()):
        os.makedirs(folder, exist_ok=True)
        for name in ("sitecustomize.py", "usercustomize.py"):
            with open(f"{folder}/{name}", "w") as file:
                file.write(code)
    return "left"


@attempt(after="leave_code")
def code_for_the_next_interpreter(_targets: Targets) -> str:
    """Have an interpreter load the previous tenant's code at its start (sitecustomize, usercustomize)."""
    ask = "import builtins, sys; sys.stdout.write(getattr(builtins, 'left_behind', ''))"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, check=False)
    return find_canary(process.stdout, "an interpreter started later")


def leave_shell_code(targets: Targets) -> str:
    """Leave commands where a shell runs them at its start."""
    home = os.environ.get("HOME", os.getcwd())
    for name in (".bashrc", ".profile", ".bash_profile", ".noderc.js", ".npmrc"):
        with open(f"{home}/{name}", "w") as file:
            file.write(f"echo {targets['left']}\n")
    return "left"


@attempt(after="leave_shell_code")
def code_for_the_next_shell(_targets: Targets) -> str:
    """Have a shell run the previous tenant's commands at its start (.profile, .bashrc)."""
    process = subprocess.run(
        ["/bin/sh", "-lc", ":"], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    return find_canary(process.stdout, "a shell started later")


def _run_as(name: str) -> NoReturn:
    library.prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
    time.sleep(30)
    os._exit(0)


def leave_a_daemon(targets: Targets) -> str:
    """Start a daemon: two forks, a session of its own, no parent."""
    if os.fork():
        os.wait()
        return "left"
    os.setsid()
    if os.fork():
        os._exit(0)
    for fd in range(3, 64):
        try:
            os.close(fd)
        except OSError:
            continue
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    _run_as(targets["daemon"])


@attempt(after="leave_a_daemon", check="daemon")
def daemon_that_survives(targets: Targets) -> str:
    """Leave a daemon that outlives the job and its sandbox."""
    time.sleep(0.2)
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() == targets["daemon"]:
                        return f"it still runs as process {pid}"
            except OSError:
                continue
    raise StoppedError("it is gone")


def leave_a_daemon_under_a_reaper(targets: Targets) -> str:
    """Start a daemon below a process that reaps its descendants instead of init."""
    pid = os.fork()
    if pid:
        time.sleep(0.1)
        return "left"
    library.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    leave_a_daemon(targets)
    _run_as(targets["daemon"])


@attempt(after="leave_a_daemon_under_a_reaper", check="daemon")
def daemon_under_a_reaper(targets: Targets) -> str:
    """Leave a daemon below a process that reaps it instead of init (PR_SET_CHILD_SUBREAPER)."""
    return daemon_that_survives(targets)


def leave_shared_memory(targets: Targets) -> str:
    """Leave a shared memory segment, which outlives its process."""
    try:
        segment = call("shmget", targets["left_key"], 4096, 0o1666)
    except OSError:
        return "nothing could be left"
    with attached(segment) as address:
        ctypes.memmove(ctypes.c_void_p(address), targets["left"].encode(), len(targets["left"]))
    return "left"


@attempt(after="leave_shared_memory")
def shared_memory_of_the_previous_tenant(targets: Targets) -> str:
    """Find the System V shared memory that the previous tenant's job left."""
    segment = call("shmget", targets["left_key"], 0, 0)
    with attached(segment) as address:
        content = ctypes.string_at(address, 64)
    call("shmctl", segment, 0, 0)
    return find_canary(content, "the segment")


def leave_a_key(targets: Targets) -> str:
    """Leave a key in the user's keyring."""
    secret = targets["left"].encode()
    for ring in (-4, -3):  # the user's, the session's
        try:
            key = call("add_key", b"user", targets["left_name"].encode(), secret, len(secret), ring)
            call("keyctl", 5, key, 0x3F3F3F3F)  # readable by every user
        except OSError:
            continue
    if not os.fork():  # so that its sandbox is discarded and the next tenant's may get its uid
        time.sleep(30)
        os._exit(0)
    return "left"


@attempt(after="leave_a_key", same_uid=True)
def key_of_the_previous_tenant(targets: Targets) -> str:
    """Find the key that the previous tenant's job left in the kernel's keyrings, under the same uid."""

    def look(ring: int) -> str:
        key = call("keyctl", 10, ring, b"user", targets["left_name"].encode(), 0)
        buffer = ctypes.create_string_buffer(256)
        size = call("keyctl", 11, key, buffer, 256)
        call("keyctl", 9, key, ring)
        return find_canary(buffer.raw[:size], "the keyring")

    return any_of((-4, -5, -3), look)


def time_out(targets: Targets) -> str:
    """Leave a secret in the interpreter and time out."""
    leave_in_the_process(targets)
    time.sleep(targets["first_seconds"] + targets["overrun_seconds"])
    return "left"


@attempt(after="time_out", same_worker=True, after_ends=("timeout",), first_seconds=0.5)
def sandbox_after_a_timeout(targets: Targets) -> str:
    """Find what a job of the same worker left in a sandbox after a timeout."""
    return process_of_the_previous_tenant(targets)


def fork_and_leave(targets: Targets) -> str:
    """Leave a secret in the interpreter, and a child process."""
    leave_in_the_process(targets)
    if not os.fork():
        time.sleep(30)
        os._exit(0)
    return "left"


@attempt(after="fork_and_leave", same_worker=True)
def sandbox_with_a_leftover_child(targets: Targets) -> str:
    """Find what a job of the same worker left in a sandbox with a leftover process."""
    return process_of_the_previous_tenant(targets)
