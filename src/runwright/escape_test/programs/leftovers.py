"""What one job leaves for the next: two tenants in turn, or two jobs of one worker."""

import builtins
import ctypes
import os
import subprocess
import sys
import time

from escape_kit import MARK, Bait, StoppedError, attempt, call, each, find_mark, first_of, read_marked


def leave_files(bait: Bait) -> str:
    """Leave a secret in every folder that can be written to."""
    for folder in (*bait["disks"], os.getcwd()):
        with open(f"{folder}/left-behind", "w") as file:
            file.write(bait["left"])
    return "left"


@attempt(after="leave_files")
def files_of_the_last_tenant(bait: Bait) -> str:
    """Find the files that the last tenant's job left in /tmp, /work and /dev/shm."""
    paths = [f"{folder}/left-behind" for folder in (*bait["disks"], os.getcwd())]
    return each(paths, read_marked)


def leave_in_the_process(bait: Bait) -> str:
    """Leave a secret in the interpreter."""
    builtins.left_behind = bait["left"]  # type: ignore[attr-defined]
    os.environ["LEFT_BEHIND"] = bait["left"]
    return "left"


@attempt(after="leave_in_the_process")
def process_of_the_last_tenant(_bait: Bait) -> str:
    """Find what the last tenant's job left in the interpreter."""
    return find_mark(getattr(builtins, "left_behind", "").encode(), "the interpreter")


@attempt(after="leave_in_the_process")
def environment_of_the_last_tenant(_bait: Bait) -> str:
    """Find what the last tenant's job left in the environment."""
    return find_mark("\0".join(os.environ.values()).encode(), "the environment")


def use_the_secret(_bait: Bait) -> str:
    """Use the secret that the job was given, as a worker does, and keep nothing."""
    if not MARK.search(os.environ.get("BAIT_SECRET", "").encode()):
        raise RuntimeError("the job was not given its secret")
    return "used"


@attempt(after="use_the_secret", same_worker=True, secret=True)
def secret_of_the_last_job(_bait: Bait) -> str:
    """Find the secret of the last job of the same worker in the environment and in /proc/self/environ."""
    values = "\0".join(os.environ.values()).encode()
    return first_of(lambda: find_mark(values, "the environment"), lambda: read_marked("/proc/self/environ"))


def leave_code(bait: Bait) -> str:
    """Leave code where an interpreter looks for it when it starts."""
    home = os.environ.get("HOME", os.getcwd())
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    code = f"import builtins\nbuiltins.left_behind = {bait['left']!r}\n"
    for folder in (f"{home}/.local/lib/{version}/site-packages", os.getcwd()):
        os.makedirs(folder, exist_ok=True)
        for name in ("sitecustomize.py", "usercustomize.py"):
            with open(f"{folder}/{name}", "w") as file:
                file.write(code)
    return "left"


@attempt(after="leave_code")
def code_for_the_next_interpreter(_bait: Bait) -> str:
    """Have an interpreter that starts later load the last tenant's code (sitecustomize, usercustomize)."""
    ask = "import builtins, sys; sys.stdout.write(getattr(builtins, 'left_behind', ''))"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    said = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, check=False)
    return find_mark(said.stdout, "an interpreter that was started later")


def leave_shell_code(bait: Bait) -> str:
    """Leave commands where a shell looks for them."""
    home = os.environ.get("HOME", os.getcwd())
    for name in (".bashrc", ".profile", ".bash_profile", ".noderc.js", ".npmrc"):
        with open(f"{home}/{name}", "w") as file:
            file.write(f"echo {bait['left']}\n")
    return "left"


@attempt(after="leave_shell_code")
def code_for_the_next_shell(_bait: Bait) -> str:
    """Have a shell that starts later run the last tenant's commands (.profile, .bashrc)."""
    said = subprocess.run(["/bin/sh", "-lc", ":"], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    return find_mark(said.stdout, "a shell that was started later")


def leave_a_daemon(bait: Bait) -> str:
    """Start a daemon: two forks, a session of its own, no parent that knows it."""
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
    ctypes.CDLL(None).prctl(15, bait["daemon"].encode(), 0, 0, 0)  # PR_SET_NAME
    time.sleep(30)
    os._exit(0)


@attempt(after="leave_a_daemon", check="daemon")
def daemon_that_survives(bait: Bait) -> str:
    """Leave a daemon that goes on when the job and its sandbox are over."""
    time.sleep(0.2)
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() == bait["daemon"]:
                        return f"it still runs as process {pid}"
            except OSError:
                continue
    raise StoppedError("it is gone")


def leave_a_daemon_under_a_reaper(bait: Bait) -> str:
    """The same below a process that takes the place of init for its children."""
    pid = os.fork()
    if pid:
        time.sleep(0.1)
        return "left"
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    leave_a_daemon(bait)
    ctypes.CDLL(None).prctl(15, bait["daemon"].encode(), 0, 0, 0)  # PR_SET_NAME
    time.sleep(30)
    os._exit(0)


@attempt(after="leave_a_daemon_under_a_reaper", check="daemon")
def daemon_under_a_reaper(bait: Bait) -> str:
    """The same below a process that reaps its children itself (PR_SET_CHILD_SUBREAPER)."""
    return daemon_that_survives(bait)


def leave_shared_memory(bait: Bait) -> str:
    """Leave a segment of shared memory that outlives its process."""
    library = ctypes.CDLL(None, use_errno=True)
    library.shmat.restype = ctypes.c_void_p
    try:
        segment = call("shmget", bait["left_key"], 4096, 0o1666)
    except OSError:
        return "nothing could be left"
    address = library.shmat(segment, None, 0)
    ctypes.memmove(ctypes.c_void_p(address), bait["left"].encode(), len(bait["left"]))
    library.shmdt(ctypes.c_void_p(address))
    return "left"


@attempt(after="leave_shared_memory")
def shared_memory_of_the_last_tenant(bait: Bait) -> str:
    """Find the shared memory (System V) that the last tenant's job left."""
    library = ctypes.CDLL(None, use_errno=True)
    library.shmat.restype = ctypes.c_void_p
    segment = call("shmget", bait["left_key"], 0, 0)
    address = library.shmat(segment, None, 0)
    said = ctypes.string_at(address, 64)
    library.shmdt(ctypes.c_void_p(address))
    call("shmctl", segment, 0, 0)
    return find_mark(said, "the segment")


def leave_a_key(bait: Bait) -> str:
    """Leave a key in the kernel's keyring of the user."""
    secret = bait["left"].encode()
    for ring in (-4, -3):  # the user's, the session's
        try:
            key = call("add_key", b"user", bait["left_name"].encode(), secret, len(secret), ring)
            call("keyctl", 5, key, 0x3F3F3F3F)  # for everybody
        except OSError:
            continue
    if not os.fork():  # its sandbox is thrown away, so that the next tenant's may get its uid
        time.sleep(30)
        os._exit(0)
    return "left"


@attempt(after="leave_a_key", same_uid=True)
def key_of_the_last_tenant(bait: Bait) -> str:
    """Find the key that the last tenant's job left in the kernel's keyrings, under the same uid."""

    def look(ring: int) -> str:
        key = call("keyctl", 10, ring, b"user", bait["left_name"].encode(), 0)
        buffer = ctypes.create_string_buffer(256)
        size = call("keyctl", 11, key, buffer, 256)
        call("keyctl", 9, key, ring)
        return find_mark(buffer.raw[:size], "the keyring")

    return each((-4, -5, -3), look)


def time_out(bait: Bait) -> str:
    """Leave something in the interpreter and run into the timeout."""
    leave_in_the_process(bait)
    time.sleep(bait["first_seconds"] + 0.5)
    return "left"


@attempt(after="time_out", same_worker=True, after_ends=("timeout",), first_seconds=0.5)
def sandbox_after_a_timeout(bait: Bait) -> str:
    """Find what a job of the same worker left in a sandbox that was tainted by a timeout."""
    return process_of_the_last_tenant(bait)


def fork_and_leave(bait: Bait) -> str:
    """Leave something in the interpreter and a child beside it."""
    leave_in_the_process(bait)
    if not os.fork():
        time.sleep(30)
        os._exit(0)
    return "left"


@attempt(after="fork_and_leave", same_worker=True)
def sandbox_with_a_leftover_child(bait: Bait) -> str:
    """Find what a job of the same worker left in a sandbox that was tainted by a leftover process."""
    return process_of_the_last_tenant(bait)
