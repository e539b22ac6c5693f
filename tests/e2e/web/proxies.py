"""nginx and HAProxy with the configurations that docs/proxies.md prints, in front of a server of the tests."""

import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.waiting import PATIENCE_SECONDS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/proxies.md"
NAMES = ("nginx", "haproxy")
_NGINX = """
daemon off; worker_processes 1; error_log stderr; pid {folder}/pid; {user}
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {site}
}}
"""
_PORTS = range(20_000, 30_000)
"""Below those that the system chooses from."""


def free_port() -> int:
    """Return a port that nothing listens at, and that the system gives nobody who asks for any."""
    ports = random.sample(_PORTS, len(_PORTS))
    return next(port for port in ports if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def printed(name: str) -> str:
    """Return the configuration that the documentation prints."""
    found = re.search(rf"```{name}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@contextmanager
def proxy(name: str, folder: Path, *, port: int, upstream: str) -> Iterator[None]:
    """Run a proxy at a port, with TLS; skip the test where the program is not installed."""
    program = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    if program is None or shutil.which("openssl") is None:
        pytest.skip(f"The dashboard is not tested behind {name}: it is not installed, or openssl is not.")
    _certify(folder)
    command = [
        program,
        *(_nginx(folder, port, upstream) if name == "nginx" else _haproxy(folder, port, upstream)),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _certify(folder: Path) -> None:
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *(
                "-keyout",
                folder / "key.pem",
                "-out",
                folder / "cert.pem",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(both)


def _replaced(text: str, changes: dict[str, str]) -> str:
    for before, after in changes.items():
        assert before in text, f"{DOCUMENT.name} has no {before!r} any more."
        text = text.replace(before, after)
    return text


def _nginx(folder: Path, port: int, upstream: str) -> list[str]:
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "127.0.0.1:8080": upstream,
        "/etc/ssl/runwright.pem": f"{folder}/cert.pem",
        "/etc/ssl/runwright.key": f"{folder}/key.pem",
    }
    user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
    site = _replaced(printed("nginx"), changes)
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, site=site, user=user))
    return ["-p", str(folder), "-c", str(folder / "nginx.conf")]


def _haproxy(folder: Path, port: int, upstream: str) -> list[str]:
    changes = {
        "bind :443": f"bind 127.0.0.1:{port}",
        "127.0.0.1:8080": upstream,
        "/etc/ssl/runwright.both.pem": f"{folder}/both.pem",
    }
    (folder / "haproxy.cfg").write_text(_replaced(printed("haproxy"), changes))
    return ["-db", "-q", "-f", str(folder / "haproxy.cfg")]


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, "The proxy has ended."
            assert time.monotonic() < deadline, "The proxy does not listen."
        else:
            return
