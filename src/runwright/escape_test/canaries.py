"""Lays out what the attempts are after: files, processes, sockets, keys, all worthless.

Everything carries a secret that nobody else on the host knows, so whoever brings it back was there.
What is laid out is removed again, whatever happens.
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

BAIT_PROCESS: Final = Path(__file__).parent / "canary_process.py"
VARIABLE: Final = "RUNWRIGHT_ESCAPE_BAIT"
"""Holds the secret in this process's environment, for that is where sandboxes are started."""
_CALLS: Final = {"x86_64": (248, 250, 303), "aarch64": (217, 219, 264)}
"""Numbers of add_key, keyctl and name_to_handle_at."""
_JOIN, _SETPERM, _OPEN_TO_ALL = 1, 5, 0x3F3F3F3F
_MOST_HOME_FILES: Final = 20
_OF_THE_HOST: Final = "def handler(input, env):\n    return {{'escaped': True, 'by': 'ran {mark}'}}\n"
_VICTIM: Final = "import signal; signal.pause()"


class Canaries:
    """All of it, and where it is, in the words that the programs know."""

    def __init__(self, folder: Path, *, data_dir: Path | None, visible: list[str]) -> None:
        """`visible` are folders that sandboxes may see, and that are therefore no bait."""
        self.folder = folder
        self.mark = f"bait-{secrets.token_hex(16)}"
        self.words: dict[str, Any] = {}
        self._data_dirs = [str(folder / "data"), *([str(data_dir)] if data_dir is not None else [])]
        self._visible = visible
        self._victim: subprocess.Popen[bytes] | None = None

    @property
    def planted(self) -> Path:
        """The file whose existence shows that somebody wrote to the host."""
        return self.folder / "planted"

    def was_planted(self) -> bool:
        """Tell whether somebody wrote to the host; the file is gone afterwards."""
        there = self.planted.exists()
        self.planted.unlink(missing_ok=True)
        return there

    def entrypoint(self, kind: str | None) -> str:
        """Return the entrypoint of a worker that means to leave its folder."""
        hostile = {
            "dots": "../" * 20 + str(self.planted)[1:],
            "absolute": str(self.planted),
            "link": "link.py",
        }
        return hostile[kind] if kind is not None else "main.py"

    def victim_died(self) -> bool:
        """Tell whether the process that is there to be killed was killed; there is a new one afterwards."""
        died = self._victim is None or self._victim.poll() is not None
        if died:
            self._new_victim()
        return died

    @contextlib.contextmanager
    def laid_out(self) -> Iterator[None]:
        """Lay out everything, and take it away again."""
        with contextlib.ExitStack() as stack:
            self._files()
            os.environ[VARIABLE] = self.mark
            stack.callback(os.environ.pop, VARIABLE, None)
            self._keys()
            stack.callback(_forget_keys)
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
            path.write_text(self.mark)
            path.chmod(0o666)
        bundle = self.folder / "bundle"
        bundle.mkdir()
        (bundle / "link").symlink_to(self.folder / "secret")
        (bundle / "folder").symlink_to(self.folder)
        (bundle / "main.py").write_bytes(worker_source("host_files"))
        (self.folder / "host.py").write_text(_OF_THE_HOST.format(mark=self.mark))
        (bundle / "link.py").symlink_to(self.folder / "host.py")
        for folder in (self.folder, bundle, self.folder / "data", self.folder / "data" / "pg"):
            folder.chmod(0o777)
        self._words(file=str(self.folder / "secret"), folder=str(self.folder), planted=str(self.planted))
        kind, handle = _handle_of(self.folder / "secret")
        self._words(handle=handle.hex(), handle_type=kind, data_dirs=self._data_dirs, bundle="/app/code")
        self._words(disks=["/tmp", WORK, "/dev/shm"], sparse="/tmp", devices=_root_device())  # noqa: S108  inside
        self._words(harness=str(HARNESS_FOLDER), harness_files=[p.name for p in HARNESS_FOLDER.glob("*.*")])
        self._words(home=self._home_files(), init_started=_init_started(), cgroup_files=[])
        self._words(read_only=["/usr", "/harness", "/", "/dev", "/proc/sys"])
        name = secrets.token_hex(4)
        self._words(left=f"bait-{secrets.token_hex(16)}", left_name=f"left-{name}", daemon=f"rw-{name}")
        self._words(left_key=int(secrets.token_hex(3), 16))

    def _words(self, **words: object) -> None:
        self.words.update(words)

    def _home_files(self) -> list[str]:
        home = Path.home()
        with contextlib.suppress(OSError):
            paths = [str(path) for path in sorted(home.iterdir())]
            hidden = [p for p in paths if not any(f"{v}/".startswith(f"{p}/") for v in self._visible)]
            return hidden[:_MOST_HOME_FILES]
        return []

    def _keys(self) -> None:
        """Give this thread, from which sandboxes are started, a session keyring with a key for all."""
        numbers = _CALLS.get(os.uname().machine)
        if numbers is not None:
            add_key, keyctl, _ = numbers
            library = ctypes.CDLL(None, use_errno=True)
            ring = library.syscall(keyctl, _JOIN, b"runwright-bait")
            key = library.syscall(add_key, b"user", b"runwright-bait", self.mark.encode(), len(self.mark), -3)
            for one in (key, ring):
                library.syscall(keyctl, _SETPERM, one, _OPEN_TO_ALL)

    def _group(self, stack: contextlib.ExitStack) -> None:
        cgroups: Cgroups | None = open_cgroups()
        if cgroups is not None:
            stack.callback(cgroups.close)
            self._words(cgroup_files=[str(path) for path in cgroups.create().limit_files()])

    def _processes(self, stack: contextlib.ExitStack) -> None:
        name = secrets.token_hex(6)
        plan = {"file": self.words["file"], "unix": str(self.folder / "data/pg/.s.PGSQL.5432")}
        plan |= {"abstract": f"runwright-{name}", "shm_name": f"runwright-{name}", "queue": f"/rw-{name}"}
        words = {**plan, "shm_key": int(name[:6], 16), "addresses": _own_addresses()}
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(BAIT_PROCESS), self.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={VARIABLE: self.mark},
        )
        stack.callback(_end, process)
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        process.stdin.write(json.dumps(words).encode() + b"\n")
        process.stdin.flush()
        self._words(**{k: v for k, v in words.items() if k not in {"file", "unix"}})
        self._words(**json.loads(process.stdout.readline()))

    def _new_victim(self) -> None:
        self._end_victim()
        argv = [sys.executable, "-I", "-S", "-c", _VICTIM]
        self._victim = subprocess.Popen(argv, start_new_session=True, env={})
        self._words(victim=self._victim.pid)

    def _end_victim(self) -> None:
        if self._victim is not None:
            self._victim.kill()
            self._victim.wait()


@contextlib.contextmanager
def lay_baits(*, data_dir: Path | None = None, visible: list[str] | None = None) -> Iterator[Canaries]:
    """Lay everything out in a temporary folder that every user may reach."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-escape-"))
    try:
        baits = Canaries(folder, data_dir=data_dir, visible=visible or [])
        with baits.laid_out():
            yield baits
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it take away what it laid out, which it does when its stdin ends."""
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


def _forget_keys() -> None:
    numbers = _CALLS.get(os.uname().machine)
    if numbers is not None:
        ctypes.CDLL(None).syscall(numbers[1], _JOIN, None)


def _handle_of(path: Path) -> tuple[int, bytes]:
    """Return the handle that the file system knows a file by; nothing where it has none."""
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
    """Return the host's address beside loopback; nothing is sent to find out."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))
        return [sock.getsockname()[0]]
    return []
