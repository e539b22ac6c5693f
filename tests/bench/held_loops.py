"""Scenarios of what holds the event loop beside the routes: connections, schemas, streams, `/mcp`."""

import contextlib
import socket
import time
from typing import Final

from tests.bench import hostile
from tests.bench.prober import JSON, WAITING, Json, Prober


def _raw(p: Prober, name: str, content: bytes) -> None:
    """Send bytes over a connection of their own, and note the longest step until no more is answered."""
    address = (p.http.base_url.host, p.http.base_url.port)
    with contextlib.suppress(OSError), socket.create_connection(address, 5) as connection:
        connection.sendall(content)
        connection.settimeout(0.5)
        while connection.recv(1 << 16):
            pass
    p.http.get("/livez")
    p.note(name)


def connections(p: Prober) -> None:
    head = b"POST /v1/ava/jobs HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    for path in (b"/livez", b"/v1/ava/jobs", b"/"):
        one = b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path
        _raw(p, f"pipelined requests of {path.decode()}", one * (1024 * 1024 // len(one)))
    _raw(p, "a body of tiny chunks", head + b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n")
    _raw(p, "empty headers", b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 60_000 + b"\r\n")
    _raw(p, "empty trailers", head + b"0\r\n" + b"a:\r\n" * 60_000 + b"\r\n")
    for long in ("/a" * 15_000, "/v1/ava/jobs" + "/a" * 15_000, "/" * 30_000):
        _raw(p, f"a path of many parts, {long[:14]}", f"GET {long} HTTP/1.1\r\nhost: a\r\n\r\n".encode())


HOSTILE_SCHEMAS: Final[dict[str, tuple[Json, Json]]] = {
    "a pattern with many states": ({"pattern": "[a-m]*a[a-m]{250}[n-z]"}, "a" * 900_000),
    "a smaller pattern": ({"pattern": "([a-m]{0,20}a)+[n-z]"}, "a" * 400_000),
    "a small input for it": ({"pattern": "([a-m]{0,20}a)+[n-z]"}, "a" * 3_000),
    "five patterns": ({"allOf": [{"pattern": f"([a-m]{{0,5{n}}}a)+[n-z]"} for n in range(5)]}, "a" * 100),
    "large integers": ({"uniqueItems": True}, [2**64 + n for n in range(4_000)]),
    "small fractions": ({"uniqueItems": True}, [n * 2.0**-1000 for n in range(4_000)]),
    "multiples": ({"items": {"multipleOf": 1e-300}}, [1e300] * 6_000),
    "multiples of cents": ({"items": {"multipleOf": 0.01}}, [n / 100 for n in range(6_000)]),
    "formats": ({"items": {"format": "email"}}, ["a." * 500 + "@a.a"] * 200),
}


def schemas(p: Prober) -> None:
    for name, (schema, value) in HOSTILE_SCHEMAS.items():
        body = WAITING | {"name": name, "input_schema": {"properties": {"a": schema}}}
        worker_id = p.http.post("/v1/ava/workers", json=body).json()["data"]["id"]
        p.note(f"worker with a schema of {name}")
        for _ in range(3):
            job = {"worker_id": worker_id, "input": {"a": value}}
            p.send(f"input for a schema of {name}", "POST", "/v1/ava/jobs", json=job)


def streams(p: Prober) -> None:
    types = ",".join(f"custom.{'a' * 80}{n}.*" for n in range(19))
    head = "".join(f"{name}: {p.http.headers[name]}\r\n" for name in ("x-internal-secret", "x-tenant-id"))
    head += "x-user-id: usr_bench\r\nx-platform-role: tenant-system-admin\r\n"
    request = f"GET /v1/ava/stream?filter[type]={types},job.* HTTP/1.1\r\nhost: a\r\n{head}\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            address = (p.http.base_url.host, p.http.base_url.port)
            stream = stack.enter_context(socket.create_connection(address, 5))
            stream.sendall(request.encode())
        time.sleep(3)
        p.note("60 streams are opened")
        one = b'{"worker_id":"%b","input":{}}' % p.worker.encode()
        for _ in range(8):
            p.http.post(
                "/v1/ava/jobs/batch", content=b'{"jobs":[%b]}' % b",".join([one] * 1000), headers=JSON
            )
        time.sleep(3)
        p.note("8,000 jobs for 60 streams")


def mcp(p: Prober) -> None:
    headers = JSON | {"accept": "application/json, text/event-stream"}

    def ask(name: str, params: bytes) -> None:
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}' % params
        p.send(f"/mcp {name}", "POST", "/mcp", content=body, headers=headers)

    ask("for the first time", b'{"name":"list_jobs","arguments":{}}')
    letters = " ".join("abcdefghijklmnopqrstuvwxyz0123456789")
    ask("search of letters", b'{"name":"search_docs","arguments":{"query":"%b"}}' % letters.encode())
    for name, value in hostile.values(500_000).items():
        ask(name, b'{"name":"get_job","arguments":{"job_id":%b}}' % value)
    lists = b'{"a":[%b0]}' % (b"[]," * 300_000)
    body = b'{"worker_id":"%b","input":%b}' % (p.worker.encode(), lists)
    jobs = [p.http.post("/v1/ava/jobs", content=body, headers=JSON).json()["data"]["id"] for _ in range(10)]
    ask("list of large jobs", b'{"name":"list_jobs","arguments":{"limit":10}}')
    ask("large job", b'{"name":"get_job","arguments":{"job_id":"%b"}}' % jobs[0].encode())
