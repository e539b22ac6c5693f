"""How a command is started in a namespace of ours, and how its listeners come to us."""

import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MOST_PORTS: Final = 250
"""The kernel hands over about so many descriptors at once."""
_PROGRAM: Final = Path(__file__).with_name("namespace.py")


def namespace_command(control: int, ports: Iterable[int], argv: list[str]) -> list[str]:
    """Return the command line that becomes `argv` in a new namespace; `control` is its descriptor."""
    interpreter = [sys.executable, "-I", "-S", "-E", str(_PROGRAM)]
    return [*interpreter, str(control), ",".join(map(str, ports)), *argv]


def receive_listeners(near: socket.socket) -> list[socket.socket]:
    """Take what the program sends: DNS by UDP, DNS by TCP, one per port; nothing where it failed."""
    try:
        _, numbers, _, _ = socket.recv_fds(near, 1, MOST_PORTS + 2)
    except OSError:
        return []
    return [socket.socket(fileno=number) for number in numbers]
