"""A TCP proxy before a server that cuts each connection after so many bytes of the answer, or takes only so many."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit


@contextmanager
def cutting_proxy(url: str, cuts: list[int], *, takes: int | None = None) -> Iterator[str]:
    """Yield the proxy's address. `cuts` are consumed one by one; connections after the last one are whole.

    Of what a client sends over a connection, `takes` bytes are passed on; the rest is not taken.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, url, cuts, takes))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, url: str, cuts: list[int], takes: int | None) -> None:
    parts = urlsplit(url)
    with suppress(OSError), ExitStack() as stack:
        while True:
            near, _ = listener.accept()
            stack.enter_context(near)
            far = stack.enter_context(socket.create_connection((parts.hostname, parts.port)))
            limit = cuts.pop(0) if cuts else None
            for source, sink, most, holds in ((near, far, takes, True), (far, near, limit, False)):
                threading.Thread(target=_copy, args=(source, sink, most, holds), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket, most: int | None, holds: bool) -> None:
    """Copy until an end closes, or until so many bytes were copied; then both are closed, unless it holds."""
    left = most
    with suppress(OSError):
        while (data := source.recv(4096 if left is None else min(4096, left))) and left != 0:
            sink.sendall(data)
            left = None if left is None else left - len(data)
            if left == 0 and holds:
                return
            if left == 0:
                break
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
