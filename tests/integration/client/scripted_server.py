"""An HTTP server that answers as a test says, request by request, or hangs up in the middle."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

HANG_UP: Final = b""
"""An answer: the connection is closed without one."""


class SeenRequest(msgspec.Struct, frozen=True):
    """A request as it came."""

    line: str
    headers: Mapping[str, str]
    body: bytes


class ScriptedServer:
    """Gives its answers in order, the last one again and again; `seen` has the requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[bytes] = []
        self.seen: list[SeenRequest] = []

    def next_answer(self, request: SeenRequest) -> bytes:
        self.seen.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def answer(status: int, body: object = None, **headers: str) -> bytes:
    """Return an HTTP response with a JSON body."""
    content = b"" if body is None else msgspec.json.encode(body)
    return raw_answer(status, content, "application/json", **headers)


def raw_answer(status: int, content: bytes, kind: str, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + content


def stream(*events: str) -> bytes:
    """Return the beginning of an event stream; the connection is closed after it."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return (head + "".join(events)).encode()


@contextmanager
def scripted_server(*answers: bytes) -> Iterator[ScriptedServer]:
    """Serve on a free port of loopback until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ScriptedServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server.answers = list(answers)
        thread = threading.Thread(target=_serve, args=(listener, server))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, server: ScriptedServer) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):
                connection.sendall(server.next_answer(_read(connection)))


def _read(connection: socket.socket) -> SeenRequest:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _more(connection)
    return SeenRequest(line, headers, body)


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise ConnectionError
    return received
