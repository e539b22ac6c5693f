"""Set up the targets of the attempts on the host: files, processes, sockets and keys without value.

Each contains a secret that is found nowhere else, the canary: an attempt that returns it has reached the
target. Everything is removed afterwards, whatever happens.
"""

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from runwright.escape_test.catalogue import worker_source
from runwright.runtimes.harness_command import HARNESS_FOLDER
from runwright.sandbox.bubblewrap import WORK
from runwright.sandbox.cgroups import Cgroups, open_cgroups
from runwright.sandbox.syscalls import listed_numbers

CANARY_PROCESS: Final = Path(__file__).parent / "canary_process.py"
VARIABLE: Final = "RUNWRIGHT_ESCAPE_CANARY"
"""Holds the canary in the environment of this process, which starts the sandboxes."""
_CALLS: Final = {"x86_64": (248, 250, 303), "aarch64": (217, 219, 264)}
"""Numbers of add_key, keyctl and name_to_handle_at."""
_JOIN, _SETPERM, _OPEN_TO_ALL = 1, 5, 0x3F3F3F3F
_MAX_HOME_FILES: Final = 20
_DEATH_SECONDS: Final = 0.2
"""How long a victim that got a signal may take to die."""
_HOST_PROGRAM: Final = "def handler(input, env):\n    return {{'escaped': True, 'by': 'ran {canary}'}}\n"
_VICTIM: Final = "import signal; signal.pause()"


class Canaries:
    """The targets on the host, and their locations for the programs."""

    def __init__(self, folder: Path, *, data_dir: Path | None, visible: list[str]) -> None:
        """`visible` are folders that sandboxes may see, and that are therefore no targets."""
        self.folder = folder
        self.canary = f"canary-{secrets.token_hex(16)}"
        self.targets: dict[str, Any] = {}
        self._data_dirs = [str(folder / "data"), *([str(data_dir)] if data_dir is not None else [])]
        self._visible = visible
        self._victim: subprocess.Popen[bytes] | None = None

    @property
    def written_file(self) -> Path:
        """The file whose existence shows that an attempt wrote to the host."""
        return self.folder / "written-by-an-attempt"

    def host_was_written(self) -> bool:
        """Return whether an attempt wrote to the host, and remove the file."""
        bundle = self.folder / "bundle"
        in_bundle = bundle / self.written_file.name
        changed = (bundle / "main.py").read_bytes() != worker_source("host_files")
        exists = changed or self.written_file.exists() or in_bundle.exists()
        for file in (self.written_file, in_bundle):
            file.unlink(missing_ok=True)
        if changed:
            (bundle / "main.py").write_bytes(worker_source("host_files"))
        return exists

    def entrypoint(self, kind: str | None) -> str:
        """Return the entrypoint of a worker that tries to leave its folder."""
        hostile = {
            "relative": "../" * 20 + str(self.written_file)[1:],
            "absolute": str(self.written_file),
            "link": "link.py",
        }
        return hostile[kind] if kind is not None else "main.py"

    def victim_died(self) -> bool:
        """Return whether the victim process was killed, and replace it if so."""
        died = True
        if self._victim is not None:
            try:
                self._victim.wait(_DEATH_SECONDS)
            except subprocess.TimeoutExpired:
                died = False
        if died:
            self._new_victim()
        return died

    @contextlib.contextmanager
    def set_up(self) -> Iterator[None]:
        """Set up all targets, and remove them afterwards."""
        with contextlib.ExitStack() as stack:
            self._files()
            os.environ[VARIABLE] = self.canary
            stack.callback(os.environ.pop, VARIABLE, None)
            self._keys()
            stack.callback(_drop_session_keyring)
            self._group(stack)
            self._new_victim()
            stack.callback(self._end_victim)
            self._processes(stack)
            yield

    def _files(self) -> None:
        names = ("secret", "file-of-a-neighbour", "data/platform-key", "data/vault-key", "data/pg/PG_VERSION")
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.canary)
            path.chmod(0o666)
        bundle = self.folder / "bundle"
        bundle.mkdir()
        (bundle / "link").symlink_to(self.folder / "secret")
        (bundle / "folder").symlink_to(self.folder)
        (bundle / "main.py").write_bytes(worker_source("host_files"))
        (self.folder / "host.py").write_text(_HOST_PROGRAM.format(canary=self.canary))
        (bundle / "link.py").symlink_to(self.folder / "host.py")
        for folder in (self.folder, bundle, self.folder / "data", self.folder / "data" / "pg"):
            folder.chmod(0o777)
        self._add_targets(
            file=str(self.folder / "secret"), folder=str(self.folder), host_write=str(self.written_file)
        )
        kind, handle = _handle_of(self.folder / "secret")
        self._add_targets(
            handle=handle.hex(), handle_type=kind, data_dirs=self._data_dirs, bundle="/app/code"
        )
        self._add_targets(disks=["/tmp", WORK, "/dev/shm"], sparse="/tmp", devices=_root_device())  # noqa: S108  inside
        self._add_targets(
            harness=str(HARNESS_FOLDER), harness_files=[p.name for p in HARNESS_FOLDER.glob("*.*")]
        )
        self._add_targets(home=self._home_files(), init_started=_init_started(), cgroup_files=[])
        self._add_targets(read_only=["/usr", "/harness", "/", "/dev", "/proc/sys"])
        name = secrets.token_hex(4)
        self._add_targets(
            left=f"canary-{secrets.token_hex(16)}", left_name=f"left-{name}", daemon=f"rw-{name}"
        )
        self._add_targets(hold_seconds=30.0, overrun_seconds=30.0)
        self._add_targets(left_key=int(secrets.token_hex(3), 16), listed_calls=listed_numbers())

    def _add_targets(self, **targets: object) -> None:
        self.targets.update(targets)

    def _home_files(self) -> list[str]:
        home = Path.home()
        with contextlib.suppress(OSError):
            paths = [str(path) for path in sorted(home.iterdir())]
            hidden = [p for p in paths if not any(f"{v}/".startswith(f"{p}/") for v in self._visible)]
            return hidden[:_MAX_HOME_FILES]
        return []

    def _keys(self) -> None:
        """Give this thread, which starts the sandboxes, a session keyring with a key readable by all."""
        numbers = _CALLS.get(os.uname().machine)
        if numbers is not None:
            add_key, keyctl, _ = numbers
            library = ctypes.CDLL(None, use_errno=True)
            ring = library.syscall(keyctl, _JOIN, b"runwright-canary")
            key = library.syscall(
                add_key, b"user", b"runwright-canary", self.canary.encode(), len(self.canary), -3
            )
            for one in (key, ring):
                library.syscall(keyctl, _SETPERM, one, _OPEN_TO_ALL)

    def _group(self, stack: contextlib.ExitStack) -> None:
        cgroups: Cgroups | None = open_cgroups()
        if cgroups is not None:
            stack.callback(cgroups.close)
            self._add_targets(cgroup_files=[str(path) for path in cgroups.create().limit_files()])

    def _processes(self, stack: contextlib.ExitStack) -> None:
        name = secrets.token_hex(6)
        plan = {"file": self.targets["file"], "unix": str(self.folder / "data/pg/.s.PGSQL.5432")}
        plan |= {"abstract": f"runwright-{name}", "shm_name": f"runwright-{name}", "queue": f"/rw-{name}"}
        details = {**plan, "shm_key": int(name[:6], 16), "addresses": _own_addresses()}
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(CANARY_PROCESS), self.canary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={VARIABLE: self.canary},
        )
        stack.callback(_end, process)
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        process.stdin.write(json.dumps(details).encode() + b"\n")
        process.stdin.flush()
        self._add_targets(**{k: v for k, v in details.items() if k not in {"file", "unix"}})
        self._add_targets(**json.loads(process.stdout.readline()))

    def _new_victim(self) -> None:
        self._end_victim()
        argv = [sys.executable, "-I", "-S", "-c", _VICTIM]
        self._victim = subprocess.Popen(argv, start_new_session=True, env={})
        self._add_targets(victim=self._victim.pid)

    def _end_victim(self) -> None:
        if self._victim is not None:
            self._victim.kill()
            self._victim.wait()


@contextlib.contextmanager
def plant_canaries(*, data_dir: Path | None = None, visible: list[str] | None = None) -> Iterator[Canaries]:
    """Set up the targets, with files in a temporary folder that every user may access."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-escape-"))
    try:
        canaries = Canaries(folder, data_dir=data_dir, visible=visible or [])
        with canaries.set_up():
            yield canaries
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process by closing its stdin, so that it removes what it set up."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _drop_session_keyring() -> None:
    numbers = _CALLS.get(os.uname().machine)
    if numbers is not None:
        ctypes.CDLL(None).syscall(numbers[1], _JOIN, None)


def _handle_of(path: Path) -> tuple[int, bytes]:
    """Return the type and content of a file's handle; empty where the file system has none."""
    numbers = _CALLS.get(os.uname().machine)
    handle = ctypes.create_string_buffer((128).to_bytes(4, sys.byteorder), 8 + 128)
    mount = ctypes.c_int()
    library = ctypes.CDLL(None, use_errno=True)
    if numbers is None:
        return 0, b""
    if library.syscall(numbers[2], -100, os.fsencode(path), handle, ctypes.byref(mount), 0):
        return 0, b""
    size = int.from_bytes(handle.raw[:4], sys.byteorder)
    return int.from_bytes(handle.raw[4:8], sys.byteorder, signed=True), handle.raw[8 : 8 + size]


def _root_device() -> list[tuple[int, int]]:
    device = Path("/").stat().st_dev
    return [(os.major(device), os.minor(device))] if os.major(device) else []


def _init_started() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _own_addresses() -> list[str]:
    """Return the host's address apart from loopback, without sending anything."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))
        return [sock.getsockname()[0]]
    return []
