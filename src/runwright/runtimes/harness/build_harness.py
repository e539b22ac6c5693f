"""Execute a build plan inside a build sandbox.

The plan comes over the inherited socket: a length, then JSON with the files to write, the commands to
run in order, and their environment. The output of the commands goes to our stdout, a pipe. When all have
succeeded the result is sent over the socket as a tar stream, so that nothing of the host is writable
from inside.
"""

import json
import os
import socket
import stat
import subprocess
import sys
import tarfile
from typing import Any

FAILED = 71
"""Exit status when a command failed; its output has the reason."""
_LENGTH_BYTES = 8


def main(arguments: list[str]) -> int:
    """Execute one plan: FD UID FOLDER."""
    fd, uid = int(arguments[0]), int(arguments[1])
    os.chdir(arguments[2])
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.umask(0o022)
    os.set_inheritable(fd, False)  # noqa: FBT003
    with socket.socket(fileno=fd) as near:
        plan = _receive(near)
        for path, content in plan["files"].items():
            _write(path, content)
        for path in plan["folders"]:
            os.makedirs(path, exist_ok=True)
        for command in plan["commands"]:
            if not _run(command, plan["env"], plan["cwd"]):
                return FAILED
        for command in plan["extras"]:
            _run(command, plan["env"], plan["cwd"])
        with near.makefile("wb", buffering=1 << 18) as stream:
            _send(plan["result"], stream)
    return 0


def _receive(near: socket.socket) -> dict[str, Any]:
    with near.makefile("rb") as stream:
        size = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        plan: dict[str, Any] = json.loads(stream.read(size))
        return plan


def _write(path: str, content: str) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(content)


def _run(command: list[str], env: dict[str, str], cwd: str) -> bool:
    sys.stdout.flush()
    status = subprocess.run(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False
    ).returncode
    if status < 0:
        os.write(1, f"the installer was killed by signal {-status}\n".encode())
    return status == 0


def _send(folders: dict[str, str], stream: Any) -> None:
    """Write every file, folder and link below the folders, sorted, without owners and times."""
    with tarfile.open(mode="w|", fileobj=stream, format=tarfile.PAX_FORMAT) as tar:
        for name, root in sorted(folders.items()):
            if os.path.isdir(root):
                _send_folder(tar, root, name)


def _send_folder(tar: tarfile.TarFile, root: str, prefix: str) -> None:
    for folder, below, files in os.walk(root):
        below.sort()
        inside = os.path.normpath(os.path.join(prefix, os.path.relpath(folder, root)))
        for name in sorted([*below, *files]):
            _add(tar, os.path.join(folder, name), f"{inside}/{name}")


def _add(tar: tarfile.TarFile, path: str, name: str) -> None:
    info = tarfile.TarInfo(name)
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        tar.addfile(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    elif stat.S_ISREG(status.st_mode):
        info.size = status.st_size
        info.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        with open(path, "rb") as file:
            tar.addfile(info, file)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, ValueError) as error:  # what was installed cannot be read, or the socket is closed
        os.write(1, f"error: what was installed cannot be read: {error}\n".encode())
        sys.exit(FAILED)
