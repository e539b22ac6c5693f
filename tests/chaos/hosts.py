"""Hosts of a test: network namespaces on one bridge, of which each can be cut off without a reset.

The bridge is in a namespace too, and so is the test while it uses them, so that the machine's own network
stays as it is. Neighbours are entered by hand: a host that is cut off looks like one that lost its power,
and no kernel reports that it is unreachable.
"""

import ctypes
import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

_CLONE_NEWNET: Final = 0x40000000
_NAMES: Final = Path("/run/netns")
_SWITCH: Final = "switch"
TEST_HOST: Final = "test"


def refusal() -> str | None:
    """Return why this machine cannot have such hosts, or None."""
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    for program in ("ip", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    name = f"rw{secrets.token_hex(3)}"
    made = _try("ip", "netns", "add", name)
    if made is not None:
        return f"network namespaces are not allowed: {made}"
    made = _try("ip", "-n", name, "link", "add", "br0", "type", "bridge")
    _try("ip", "netns", "del", name)
    return None if made is None else f"bridges are not allowed: {made}"


def _try(*command: str) -> str | None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip() or str(done.returncode)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


class Hosts:
    """The hosts, by name; `enter` moves the calling thread among them until `close`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"rw{secrets.token_hex(3)}"
        self._names = [TEST_HOST, *names]
        self._stack = ExitStack()
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """Leave and remove all of them."""
        self._stack.close()

    def address(self, name: str) -> str:
        return f"10.201.0.{self._names.index(name) + 1}"

    def command(self, name: str, *command: str, uid: int | None = None, gid: int | None = None) -> list[str]:
        """Return the command that runs another one on a host; it has the process id of that one."""
        account = [] if uid is None else [f"--setuid={uid}", f"--setgid={gid}"]
        return ["nsenter", f"--net={_NAMES / self._name(name)}", *account, "--", *command]

    def processes(self, names: Sequence[str]) -> list[int]:
        """Return the processes that run on hosts, except this one."""
        found: list[int] = []
        for name in names:
            pids = subprocess.run(
                ["ip", "netns", "pids", self._name(name)], check=False, capture_output=True, text=True
            )
            found += [int(pid) for pid in pids.stdout.split()]
        return [pid for pid in found if pid != os.getpid()]

    def enter(self) -> None:
        """Move the calling thread to the test's own host; connections made from now on start there."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._stack.callback(os.close, own)
        there = os.open(_NAMES / self._name(TEST_HOST), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        self._stack.callback(_setns, own)

    def cut_off(self, name: str) -> None:
        """Drop every packet from and to a host, silently."""
        self._plug(name, "down")

    def reconnect(self, name: str) -> None:
        """Let its packets pass again."""
        self._plug(name, "up")

    def _plug(self, name: str, state: str) -> None:
        _run("ip", "-n", self._name(_SWITCH), "link", "set", f"to{self._names.index(name)}", state)

    def _name(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _build(self) -> None:
        switch = self._make(_SWITCH)
        _run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(self._names):
            host, port, mac = self._make(name), f"to{number}", _mac(number)
            _run(*f"ip -n {switch} link add {port} type veth peer name eth0 netns {host}".split())
            _run(*f"ip -n {switch} link set {port} master br0 up".split())
            _run(*f"ip -n {host} link set lo up".split())
            _run(*f"ip -n {host} link set eth0 address {mac}".split())
            _run(*f"ip -n {host} address add {self.address(name)}/24 dev eth0".split())
            _run(*f"ip -n {host} link set eth0 up".split())
        for name in self._names:
            for number, other in enumerate(self._names):
                if other != name:
                    host, mac = self._name(name), _mac(number)
                    neighbour = f"{self.address(other)} lladdr {mac} dev eth0 nud permanent"
                    _run(*f"ip -n {host} neigh replace {neighbour}".split())

    def _make(self, name: str) -> str:
        _run("ip", "netns", "add", self._name(name))
        self._stack.callback(_try, "ip", "netns", "del", self._name(name))
        return self._name(name)


def _mac(number: int) -> str:
    return f"02:00:00:00:00:{number + 1:02x}"


def _setns(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot change the network namespace")
