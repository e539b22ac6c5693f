"""A stand-in for the services that examples talk to: an HTTP server on loopback that keeps what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Json = Any
"""What a body holds; which of it is right is for the tests to say."""


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)


Answer = Callable[[Asked], Json]
"""Returns what is sent as JSON, or text or bytes as they are; an integer is a status without a body."""


class StandIn:
    """Answers by method and path, `POST /payments`, or by method alone; what has no answer is 404."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        """Its address as sandboxes know it; with the dot, because `localhost` is the sandbox itself."""
        return f"http://localhost.:{self.port}"

    def requests(self, method: str, path: str) -> list[Asked]:
        return [one for one in self.asked if (one.method, one.path) == (method, path)]

    def answer(self, asked: Asked) -> Json:
        self.asked.append(asked)
        found = self.answers.get(f"{asked.method} {asked.path}") or self.answers.get(asked.method)
        return 404 if found is None else found(asked)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Serve one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            target = urlsplit(self.path)
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = service.answer(Asked(self.command, target.path, target.query, headers, body))
            text = b"" if isinstance(answer, int) else _encoded(answer)
            self.send_response(answer if isinstance(answer, int) else 200)
            self.send_header("content-type", "text/html" if isinstance(answer, str) else "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            self.do_POST()

        def do_PUT(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service = StandIn(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _encoded(answer: Json) -> bytes:
    if isinstance(answer, bytes):
        return answer
    return answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
