"""A python index and an npm registry on this host's loopback, with packages made on the spot."""

import base64
import hashlib
import http.server
import io
import json
import ssl
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

NAME = "registry.test"
"""The registry's host name in a build, which the test's resolver resolves."""


class LocalRegistry:
    """The content of the registry, the requests for each path, and its address."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.asked: Counter[str] = Counter()
        self._pages: dict[str, tuple[str, bytes]] = {}
        self._wheels: dict[str, list[str]] = {}
        self.endless: set[str] = set()
        """Paths whose responses never end."""
        self.gate = threading.Event()
        """Responses wait for it."""
        self.gate.set()
        self.free: set[str] = set()
        """Paths whose responses do not wait."""

    def reset(self) -> None:
        """Reset the requests and open the gate."""
        self.asked.clear()
        self.endless.clear()
        self.gate.set()

    @property
    def index(self) -> str:
        return f"http://{self.name}:{self.port}/simple"

    @property
    def npm(self) -> str:
        return f"http://{self.name}:{self.port}/npm/"

    def page(self, path: str) -> tuple[str, bytes] | None:
        self.asked[path] += 1
        return self._pages.get(path)

    def add_page(self, path: str, html: str) -> None:
        """Offer a page."""
        self._pages[path] = ("text/html", f"<!DOCTYPE html><html><body>{html}</body></html>".encode())

    def add_wheel(self, name: str, version: str, source: str, *, requires: tuple[str, ...] = ()) -> None:
        """Offer a package of one module."""
        info = f"{name}-{version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
        metadata += [f"Requires-Dist: {one}\n" for one in requires]
        files = {
            f"{name}.py": source,
            f"{info}/METADATA": "".join(metadata),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        self._offer(name.replace("_", "-"), f"{name}-{version}-py3-none-any.whl", packed.getvalue())

    def add_sdist(self, name: str, version: str, setup: str) -> None:
        """Offer a package that has to be built by running its own code."""
        files = {
            f"{name}-{version}/setup.py": setup,
            f"{name}-{version}/PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        }
        self._offer(name, f"{name}-{version}.tar.gz", _tarball(files))

    def add_npm(self, name: str, version: str, files: dict[str, str], **package: object) -> None:
        """Offer an npm package."""
        manifest = {"name": name, "version": version, **package}
        packed = _tarball(
            {f"package/{p}": t for p, t in {"package.json": json.dumps(manifest), **files}.items()}
        )
        path = f"/npm/{name}/-/{name}-{version}.tgz"
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
        manifest["dist"] = {"tarball": f"http://{self.name}:{self.port}{path}", "integrity": integrity}
        document = {"name": name, "dist-tags": {"latest": version}, "versions": {version: manifest}}
        self._pages[path] = ("application/octet-stream", packed)
        self._pages[f"/npm/{name}"] = ("application/json", json.dumps(document).encode())

    def _offer(self, name: str, file: str, content: bytes) -> None:
        self._pages[f"/files/{file}"] = ("application/octet-stream", content)
        files = self._wheels.setdefault(name, [])
        files.append(file)
        links = "".join(f'<a href="/files/{one}">{one}</a>' for one in files)
        self.add_page(f"/simple/{name}/", links)


def _tarball(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or does not trust the certificate, is no news."""


@contextmanager
def local_registry(
    name: str = NAME, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[LocalRegistry]:
    """Serve until the block ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path.partition("?")[0])
            if path not in registry.free:
                registry.gate.wait(60)
            if path in registry.endless:
                return self._send_endlessly()
            found = registry.page(path)
            kind, content = found or ("text/plain", b"not here")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)
            return None

        do_HEAD = do_GET  # noqa: N815  the base class has it so

        def _send_endlessly(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(1 << 40))
            self.end_headers()
            while self.command == "GET" and not stop.is_set():
                try:
                    self.wfile.write(bytes(1000))
                    self.wfile.flush()
                except OSError:
                    return
                stop.wait(0.05)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    stop = threading.Event()
    server = _Server((address, 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    registry = LocalRegistry(name, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield registry
    finally:
        stop.set()
        registry.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
