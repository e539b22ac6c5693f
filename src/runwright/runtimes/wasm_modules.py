"""A cache of compiled WebAssembly modules on the host, so that a module is compiled once.

A compiled module is machine code that wasmtime runs unchecked, so its origin decides what a worker can do.
Invariants:

- A stored module was compiled, and sealed against changes, before the first instruction of the module ran
  in that sandbox; a file without seals is not stored.
- Modules are stored per tenant: if a hostile module ever makes the compiler write something else, only
  sandboxes of its own tenant load it.
- Sandboxes receive a sealed copy in memory, never the file; a file that others than the server's user may
  have written is not used.

Folder and memory are bounded; the least recently used modules are evicted first. All sandboxes of a tenant
receive the same copies of its latest modules, and so share their memory pages. A file that is damaged or
of another wasmtime is not loaded, and the sandbox compiles the module again. A failure to read or write
the cache never fails a job.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Final

from runwright.runtimes.model import WorkerCode

ARTEFACT_BYTES: Final = 64 * 1024 * 1024
"""The largest module that is stored; a sandbox cannot write a larger file either."""

WARM_BYTES: Final = 32 * 1024 * 1024
WARM_MODULES: Final = 32
"""How many modules are kept in memory between sandboxes at most."""

SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_FORMAT: Final = "1"
_SUFFIX: Final = ".module"
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class CompiledModule:
    """An in-memory file for a sandbox: the compiled module, or an empty file to be filled with it."""

    __slots__ = ("_cache", "_name", "compiled", "fd")

    def __init__(self, fd: int, cache: "ModuleCache", name: str, *, compiled: bool) -> None:
        self.fd = fd
        self.compiled = compiled
        """Whether it contains the module; else the sandbox writes the module and seals the file."""
        self._cache = cache
        self._name = name

    def store(self) -> None:
        """Store what the sandbox has written, if it is sealed; closes the file."""
        fd, self.fd = self.fd, -1
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        if seals & SEALS == SEALS and 0 < os.fstat(fd).st_size <= ARTEFACT_BYTES:
            self._cache.store(self._name, fd)
        else:
            os.close(fd)

    def close(self) -> None:
        """Close the file; calling it twice is safe."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class ModuleCache:
    """The folder of modules compiled by one wasmtime for one kind of CPU."""

    def __init__(self, folder: Path, *, limit_bytes: int, stamp: str) -> None:
        """`stamp` identifies everything that compiled modules depend on, beside the CPU."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._stamp = f"{_FORMAT} {stamp} {_processor()}"
        self._storing: set[asyncio.Future[None]] = set()
        self._warm: OrderedDict[str, int] = OrderedDict()
        self._warm_bytes = 0

    def open(self, code: WorkerCode) -> CompiledModule:
        """Return the compiled module of a worker's version, or an empty file for it."""
        name = self._name(code)
        warm = self._warm.get(name)
        if warm is not None:
            self._warm.move_to_end(name)
            with contextlib.suppress(OSError):
                os.utime(self._folder / name)
            return CompiledModule(_copy_of(warm), self, name, compiled=True)
        fd = os.memfd_create("module", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            compiled = self._read(self._folder / name, fd)
        except OSError:
            os.ftruncate(fd, 0)
            compiled = False
        if compiled:
            self._keep_warm(name, fd)
        return CompiledModule(fd, self, name, compiled=compiled)

    def store(self, name: str, fd: int) -> None:
        """Store the content of a sealed file, in a thread; closes the file."""
        self._keep_warm(name, fd)
        storing = asyncio.get_running_loop().run_in_executor(None, self._write, name, fd)
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)

    def close(self) -> None:
        """Free the modules in memory."""
        while self._warm:
            self._evict_warm()

    async def stored(self) -> None:
        """Wait until everything is stored."""
        await asyncio.gather(*self._storing)

    def _name(self, code: WorkerCode) -> str:
        if code.bundle is None:
            what = hashlib.sha256(code.source).hexdigest()
        else:  # a version never changes
            what = f"{code.worker_id} {code.version}"
        parts = f"{self._stamp}\n{code.tenant_id}\n{code.entrypoint}\n{what}"
        return hashlib.sha256(parts.encode()).hexdigest() + _SUFFIX

    def _keep_warm(self, name: str, fd: int) -> None:
        """Keep a sealed file in memory; the first one if a module was compiled twice."""
        size = os.fstat(fd).st_size
        if name in self._warm or size > WARM_BYTES:
            return
        self._warm[name] = _copy_of(fd)
        self._warm_bytes += size
        while self._warm_bytes > WARM_BYTES or len(self._warm) > WARM_MODULES:
            self._evict_warm()

    def _evict_warm(self) -> None:
        _, fd = self._warm.popitem(last=False)
        self._warm_bytes -= os.fstat(fd).st_size
        os.close(fd)

    def _read(self, path: Path, target: int) -> bool:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            found = os.fstat(file)
            ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
            if not ours or found.st_mode & _OTHERS_MAY_WRITE or not 0 < found.st_size <= ARTEFACT_BYTES:
                return False
            _copy(file, target, found.st_size)
            os.utime(file)
        finally:
            os.close(file)
        fcntl.fcntl(target, fcntl.F_ADD_SEALS, SEALS)
        return True

    def _write(self, name: str, fd: int) -> None:
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file, path = tempfile.mkstemp(dir=self._folder)
            try:
                _copy(fd, file, os.fstat(fd).st_size)
                os.fsync(file)
                Path(path).rename(self._folder / name)
            except OSError:
                Path(path).unlink()
                raise
            finally:
                os.close(file)
            self._evict()
        os.close(fd)

    def _evict(self) -> None:
        """Remove the least recently used files, and those left by a crash, until the rest fits."""
        found = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat(), path))
        remaining = self._limit_bytes
        for status, path in sorted(found, key=lambda item: item[0].st_mtime, reverse=True):
            remaining -= status.st_size
            if remaining < 0:
                path.unlink(missing_ok=True)


def _copy_of(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)


def _copy(source: int, target: int, size: int) -> None:
    """Copy without using the file position of the source, which may be shared with a sandbox."""
    offset = 0
    while offset < size:
        count = os.sendfile(target, source, offset, size - offset)
        if not count:
            raise OSError(f"the file is shorter than its {size} bytes")
        offset += count


def _processor() -> str:
    """Return the features of the CPU that compiled code may depend on."""
    machine = os.uname().machine
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return machine
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{machine} {features}"
