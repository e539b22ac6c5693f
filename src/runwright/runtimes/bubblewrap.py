"""The command line that builds a sandbox around a harness."""

import os
from pathlib import Path, PurePosixPath
from typing import Final

from runwright.runtimes.host import Host, Interpreter

HARNESS_FOLDER: Final = Path(__file__).parent / "harness"
INSIDE: Final = "/harness"
NOBODY: Final = "65534"
DISK_BYTES: Final = 64 * 1024 * 1024
_LINKS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC: Final = ("ssl", "ca-certificates", "pki", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "alternatives")
ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/work",
    "TMPDIR": "/tmp",  # noqa: S108  the sandbox's own
    "LANG": "C.UTF-8",
    "USER": "worker",
    "TZ": "UTC",
}


def command(host: Host, interpreter: Interpreter, *, socket_fd: int, uid: int, setup: dict[str, int]) -> list[str]:
    """Return the whole command; `setup` holds bwrap's own descriptors by option name."""
    if host.bwrap is None:
        harness = str(HARNESS_FOLDER / interpreter.harness)
        return [interpreter.path, *interpreter.flags, harness, str(socket_fd), str(uid)]
    return [
        host.bwrap,
        *_namespaces(user=host.user_namespace),
        *_descriptors(setup),
        *_environment(),
        *_system(),
        *_interpreter(interpreter),
        *_private(),
        "--",
        interpreter.path,
        *interpreter.flags,
        f"{INSIDE}/{interpreter.harness}",
        str(socket_fd),
        str(uid),
    ]


def _namespaces(*, user: bool) -> list[str]:
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try"]
    options += ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if user:
        return [*options, "--unshare-user", "--disable-userns", "--uid", NOBODY, "--gid", NOBODY]
    return [*options, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]


def _descriptors(setup: dict[str, int]) -> list[str]:
    return [word for option, fd in setup.items() for word in (f"--{option}", str(fd))]


def _environment() -> list[str]:
    return ["--clearenv", *(word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value))]


def _system() -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _LINKS:
        path = f"/{name}"
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    options += ["--perms", "0755", "--dir", "/etc"]
    for name in _ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for file in sorted((HARNESS_FOLDER / "etc").iterdir()):
        options += ["--ro-bind", str(file), f"/etc/{file.name}"]
    return options


def _interpreter(interpreter: Interpreter) -> list[str]:
    options: list[str] = []
    for mount in interpreter.mounts:
        for parent in reversed(PurePosixPath(mount).parents[:-1]):
            options += ["--perms", "0755", "--dir", str(parent)]
        options += ["--ro-bind", mount, mount]
    harness = HARNESS_FOLDER / interpreter.harness
    return [*options, "--perms", "0755", "--dir", INSIDE, "--ro-bind", str(harness), f"{INSIDE}/{harness.name}"]


def _private() -> list[str]:
    size = str(DISK_BYTES)
    options = ["--proc", "/proc", "--dev", "/dev"]
    for mode, path in (("1777", "/dev/shm"), ("1777", "/tmp"), ("0777", "/work")):  # noqa: S108  inside the sandbox
        options += ["--perms", mode, "--size", size, "--tmpfs", path]
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work"]
