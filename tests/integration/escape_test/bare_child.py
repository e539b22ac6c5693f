"""Make one attempt without a sandbox: `bare_child.py CHANNEL RESULT OTHER`, descriptors, with a plan on stdin.

It simulates a job runner without sandboxes: it runs the code of one job after the other in one process,
trusts the socket on descriptor 3, leaves a foreign descriptor open, and runs as root.
"""

import ctypes
import fcntl
import json
import os
import resource
import socket
import struct
import sys
import termios
import threading
import time
import types
from pathlib import Path
from typing import Any

DESCRIPTORS = (3, 4, 9)
ANSWER = 4
NEW_MOUNTS, NEW_NETWORK, BIND, REMOUNT, READ_ONLY = 0x20000, 0x40000000, 4096, 32, 1
PRIVATE = (1 << 18) | (1 << 14)
METADATA = {"169.254.169.254": 32, "100.100.100.200": 32, "fd00:ec2::254": 128, "93.184.216.34": 32}
UNPRIVILEGED_ID = 65534
library = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def keep_mounts_private() -> None:
    """Keep mounts in a namespace that ends with this process."""
    check(library.unshare(NEW_MOUNTS))
    check(library.mount(b"none", b"/", None, PRIVATE, None))


def mount_read_only(targets: dict[str, Any]) -> None:
    folder = targets["disks"][2].encode()
    check(library.mount(folder, folder, None, BIND, None))
    check(library.mount(b"none", folder, None, BIND | REMOUNT | READ_ONLY, None))
    targets["read_only"] = [folder.decode()]


def know_names(targets: dict[str, Any]) -> None:
    hosts = Path(targets["disks"][2], "hosts")
    names = ("public", "inside", "metadata", "changing", "friend")
    hosts.write_text("".join(f"127.0.0.1 {name}.test\n" for name in names))
    check(library.mount(str(hosts).encode(), b"/etc/hosts", None, BIND, None))


def open_network() -> None:
    """Enter a network namespace for its own addresses."""
    check(library.unshare(NEW_NETWORK))
    with socket.socket() as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 0x49))  # up, running, loopback


def simulate_metadata_service() -> None:
    for address, prefix in METADATA.items():
        add_address(address, prefix)
        server = socket.create_server(
            (address, 80), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        threading.Thread(target=serve, args=(server,), daemon=True).start()


def add_address(address: str, prefix: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    body = struct.pack("=BBBBI", family, prefix, 2, 0, socket.if_nametoindex("lo"))
    for kind in (1, 2):
        body += struct.pack("=HH", 4 + len(packed), kind) + packed
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.send(struct.pack("=IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
        code = struct.unpack_from("=i", sock.recv(4096), 16)[0]
    if code:
        raise OSError(-code, f"{address}: {os.strerror(-code)}")


def serve(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\ncredentials")


def take_terminal() -> None:
    _, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def become_unprivileged() -> None:
    os.setgroups([])
    os.setresgid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    os.setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)


def take_all_limits() -> None:
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (hard, hard))


def prepare(how: str | None, targets: dict[str, Any]) -> None:
    keep_mounts_private()
    take_all_limits()
    if how == "mounts":
        mount_read_only(targets)
    elif how == "names":
        know_names(targets)
    elif how in ("network", "metadata"):
        open_network()
    elif how == "terminal":
        take_terminal()
    if how == "metadata":
        simulate_metadata_service()


def load(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        module = sys.modules[name] = types.ModuleType(name)
        exec(compile(text, name + ".py", "exec"), module.__dict__)


def load_entrypoint(plan: dict[str, Any]) -> dict[str, Any]:
    """Write or find the worker's code like the harness, without a check of its path before."""
    sys.path.insert(0, plan["harness"])
    code = __import__("runwright_code")
    targets = plan["targets"]
    if not plan["bundle"]:
        code.write_source(plan["entrypoint"], b"host_write")
        return {"escaped": Path(targets["host_write"]).exists(), "by": "written"}
    scope: dict[str, Any] = {}
    exec(Path(f"{plan['folder']}/bundle/{plan['entrypoint']}").read_text(), scope)
    answer: dict[str, Any] = scope["handler"]({}, {})
    return answer


def attempt(plan: dict[str, Any]) -> dict[str, Any]:
    program = sys.modules[plan["group"]]
    if plan["after"]:
        getattr(program, plan["after"])(plan["targets"])
        time.sleep(plan["rest"])
    if plan["bare"] == "unprivileged":
        become_unprivileged()
    answer: dict[str, Any] = sys.modules["escape_kit"].make_attempt(
        getattr(program, plan["function"]), plan["targets"]
    )
    return answer


def arrange_descriptors() -> None:
    given = [int(one) for one in sys.argv[1:4]]
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in given]
    for fd in given:
        os.close(fd)
    for copy, target in zip(copies, DESCRIPTORS, strict=True):
        os.dup2(copy, target)
        os.close(copy)


def main() -> None:
    arrange_descriptors()
    plan = json.load(sys.stdin)
    prepare(plan["bare"], plan["targets"])
    load(plan["texts"])
    answer = load_entrypoint(plan) if plan["bare"] == "entrypoint" else attempt(plan)
    with open(ANSWER, "w") as file:
        json.dump(answer, file)
    os._exit(0)


main()
