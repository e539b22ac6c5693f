"""The command line that builds a sandbox around a harness."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

from runwright.runtimes.model import WorkerCode
from runwright.runtimes.protocol import SOCKET_FD
from runwright.sandbox.host import Interpreter
from runwright.sandbox.mounts import APP, CODE
from runwright.sandbox.spawn import BLOCK_FD, INFO_FD, SECCOMP_FD

HARNESS_FOLDER: Final = Path(__file__).parents[1] / "runtimes" / "harness"
INSIDE: Final = "/harness"
WORK: Final = "/work"
WORKSHOP: Final = "/build"
TEMPORARY: Final = "/tmp"  # noqa: S108  the sandbox's own
NOBODY: Final = "65534"
DISK_BYTES: Final = 64 * 1024 * 1024
MEMORY_FOLDERS: Final = ("/dev/shm", "/tmp", WORK)  # noqa: S108  inside the sandbox
"""Where a sandbox may write: each a file system in memory of `DISK_BYTES`."""
_LINKS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC: Final = (
    "ssl",
    "ca-certificates",
    "pki",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "alternatives",
)
ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": WORK,
    "TMPDIR": TEMPORARY,
    "LANG": "C.UTF-8",
    "USER": "worker",
    "TZ": "UTC",
}


def harness_command(
    interpreter: Interpreter,
    *,
    uid: int,
    folder: str,
    inside: str,
    memory_mb: int,
    code: WorkerCode | None = None,
) -> list[str]:
    """Return the command line of a harness; `inside` is the folder in which it finds its file."""
    heap = (interpreter.heap_flag.format(memory_mb),) if interpreter.heap_flag else ()
    harness = f"{inside}/{interpreter.harness}"
    arguments = (str(SOCKET_FD), str(uid), folder, *interpreter.arguments)
    places = _places(folder, code, wrapped=inside == INSIDE)
    flags = [flag.format(**places) for flag in _flags(interpreter, code)]
    return [interpreter.path, *flags, *heap, harness, *arguments]


def sandbox_command(
    bwrap: str,
    interpreter: Interpreter,
    *,
    user_namespace: bool,
    seccomp: bool,
    uid: int,
    memory_mb: int,
    code: WorkerCode | None = None,
    network: bool = False,
) -> list[str]:
    """Return the command line of a sandbox around a harness, with the folders of the code it is for.

    With `network` it keeps the network namespace that it is started in (see `runtimes.egress`).
    """
    return [
        bwrap,
        *_namespaces(user=user_namespace, network=network),
        *("--info-fd", str(INFO_FD), "--block-fd", str(BLOCK_FD)),
        *(("--seccomp", str(SECCOMP_FD)) if seccomp else ()),
        *_environment(interpreter),
        *_system(),
        *_private(),
        *_interpreter(interpreter),
        *_folders(code),
        *_scratch(interpreter, code),
        *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK),
        "--",
        *harness_command(
            interpreter,
            uid=uid,
            folder=WORK,
            inside=INSIDE,
            memory_mb=memory_mb,
            code=code,
        ),
    ]


def workshop_command(
    bwrap: str,
    python: Interpreter,
    *,
    user_namespace: bool,
    seccomp: bool,
    uid: int,
    disk_bytes: int,
    mounts: Mapping[str, str],
) -> list[str]:
    """Return the command line of a sandbox that installs things; `mounts` are paths inside and on the host.

    It has a folder to write in and a /tmp, of bounded sizes, and the network namespace that it is started in.
    """
    seen: list[str] = []
    for inside, outside in sorted(mounts.items()):
        seen += [*_parents(inside), "--ro-bind", outside, inside]
    return [
        bwrap,
        *_namespaces(user=user_namespace, network=True),
        *("--info-fd", str(INFO_FD), "--block-fd", str(BLOCK_FD)),
        *(("--seccomp", str(SECCOMP_FD)) if seccomp else ()),
        *_environment(python),
        *_system(),
        *("--proc", "/proc", "--dev", "/dev"),
        # A real folder, because the tools may lie below /tmp on the host.
        *("--perms", "1777", "--size", str(DISK_BYTES), "--tmpfs", TEMPORARY),
        *("--perms", "0777", "--size", str(disk_bytes), "--tmpfs", WORKSHOP),
        *_interpreter(python),
        *seen,
        *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORKSHOP),
        "--",
        *(python.path, *python.flags, f"{INSIDE}/build_harness.py", str(SOCKET_FD), str(uid), WORKSHOP),
    ]


def _namespaces(*, user: bool, network: bool = False) -> list[str]:
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    options += [] if network else ["--unshare-net"]
    options += ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if user:
        return [*options, "--unshare-user", "--disable-userns", "--uid", NOBODY, "--gid", NOBODY]
    return [*options, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]


def _environment(interpreter: Interpreter) -> list[str]:
    variables = ENVIRONMENT | dict(interpreter.environment)
    return ["--clearenv", *(word for pair in variables.items() for word in ("--setenv", *pair))]


@cache
def _system() -> Sequence[str]:
    """Return what every sandbox sees of the host; looked up once, for it is asked for in the loop."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _LINKS:
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    options += ["--perms", "0755", "--dir", "/etc"]
    for name in _ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for file in sorted((HARNESS_FOLDER / "etc").iterdir()):
        options += ["--ro-bind", str(file), f"/etc/{file.name}"]
    return options


def _interpreter(interpreter: Interpreter) -> list[str]:
    options: list[str] = []
    for mount in interpreter.mounts:
        options += [*_parents(mount), "--ro-bind", mount, mount]
    return [*options, "--ro-bind", str(HARNESS_FOLDER), INSIDE]


def _parents(path: str) -> list[str]:
    options: list[str] = []
    for parent in reversed(PurePosixPath(path).parents[:-1]):
        options += ["--perms", "0755", "--dir", str(parent)]
    return options


def _places(folder: str, code: WorkerCode | None, *, wrapped: bool) -> dict[str, str]:
    """Return what the names in flags stand for; without bwrap the folders are where the host has them."""
    own = [folder, TEMPORARY] if wrapped else [folder]
    seen = [APP] if wrapped else code.folders if code else []
    bundle = CODE if wrapped or code is None else code.bundle or CODE
    return {"writable": _listed(own), "readable": _listed([*own, *seen]), "bundle": bundle}


def _listed(paths: Iterable[str]) -> str:
    return ",".join(path.replace(",", ",,") for path in paths)


def _flags(interpreter: Interpreter, code: WorkerCode | None) -> list[str]:
    """Return the interpreter's flags for this code; a bundle's own files were checked with its layer."""
    flags = list(interpreter.flags)
    if code is not None and code.bundle is not None and code.layer is not None:
        for name, (replaced, flags_instead) in interpreter.project_flags.items():
            if Path(code.bundle, name).is_file():
                at = flags.index(replaced)
                flags[at : at + 1] = flags_instead
    return flags


def _folders(code: WorkerCode | None) -> list[str]:
    """Mount bundle and layer, where there are any; a layer has an empty folder to mount a bundle on."""
    if code is None or not code.folders:
        return []
    layer = ["--ro-bind", code.layer, APP] if code.layer else ["--perms", "0755", "--dir", APP]
    if not code.bundle:
        return layer
    place = [] if code.layer else ["--perms", "0755", "--dir", CODE]
    return [*layer, *place, "--ro-bind", code.bundle, CODE]


def _scratch(interpreter: Interpreter, code: WorkerCode | None) -> list[str]:
    if interpreter.scratch is None:
        return []
    options = ["--perms", "0777", "--dir", interpreter.scratch]
    name = PurePosixPath(interpreter.scratch).name
    layer = Path(code.layer, name) if code is not None and code.layer is not None else None
    for entry in sorted(layer.iterdir()) if layer is not None and layer.is_dir() else []:
        options += ["--symlink", f"{APP}/{name}/{entry.name}", f"{interpreter.scratch}/{entry.name}"]
    return options


def _private() -> list[str]:
    size = str(DISK_BYTES)
    options = ["--proc", "/proc", "--dev", "/dev"]
    for path in MEMORY_FOLDERS:
        mode = "0777" if path == WORK else "1777"
        options += ["--perms", mode, "--size", size, "--tmpfs", path]
    return options
