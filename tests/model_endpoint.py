"""A stand-in for a language model's endpoint: answers chat completions by a script, and keeps what it was asked."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = Any
"""What the model says or hears; which of it is right is for the tests to say."""


class ModelEndpoint:
    """Says what `script` holds, one entry per request, the last one for ever.

    An integer is a status, bytes are the body as it is, and None cuts the connection.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.script: Sequence[Json] = ()
        self.asked: list[Json] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, body: Json, key: str | None) -> Json:
        self.asked.append(body)
        self.keys.append(key)
        return self.script[min(len(self.asked), len(self.script)) - 1]


def says(text: str, tokens: int = 10) -> Json:
    """A completion that is an answer."""
    return {
        "choices": [{"message": {"role": "assistant", "content": text}}],
        "usage": {"total_tokens": tokens},
    }


def wants(*calls: tuple[str, str], tokens: int = 10) -> Json:
    """A completion that asks for tools, each a name and its arguments as JSON text."""
    wanted = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": wanted}
    return {"choices": [{"message": message}], "usage": {"total_tokens": tokens}}


@contextmanager
def model_endpoint() -> Iterator[ModelEndpoint]:
    """Serve one on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == "/v1/chat/completions"
            answer = endpoint.answer(body, self.headers["Authorization"]) if known else 404
            if answer is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status = answer if isinstance(answer, int) else 200
            said = {"error": "no"} if isinstance(answer, int) else answer
            text = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint = ModelEndpoint(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
