"""Somebody who receives webhooks: an HTTPS (or HTTP) server on loopback that keeps what it was sent."""

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runwright.core.clock import system_clock
from runwright.db.pool import Pool
from runwright.http.ava.webhooks.payloads import AvaPayloadFormat
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.secrets.keyring import Keyring, SecretBox
from runwright.webhooks.sending import WebhookSender
from runwright.webhooks.service import WebhookEndpoints

WAIT_SECONDS = 60.0


class Received:
    """One request as it came."""

    def __init__(self, path: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body
        self.at = time.monotonic()

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header.lower() == name.lower()]

    def one(self, name: str) -> str:
        [value] = self.all(name)
        return value


class Receiver:
    """Answers with `status`, or what `answer` says, and the body that `say` gives; `received` in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 204
        self.answer: Callable[[Received], int] = lambda _: self.status
        self.say: Callable[[Received], bytes] = lambda _: b""
        self.received: list[Received] = []
        self._arrived = threading.Condition()

    def take(self, request: Received) -> int:
        with self._arrived:
            self.received.append(request)
            self._arrived.notify_all()
        return self.answer(request)

    def wait_for(
        self, count: int, path: str | None = None, *, seconds: float = WAIT_SECONDS
    ) -> list[Received]:
        """Wait until that many have come (to the path), and return them."""

        def come() -> list[Received]:
            return [one for one in self.received if path in {None, one.path}]

        with self._arrived:
            assert self._arrived.wait_for(lambda: len(come()) >= count, seconds), (count, len(come()))
            return come()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received = Received(self.path, list(self.headers.items()), body)
            status, said = receiver.take(received), receiver.say(received)
            self.send_response(status)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver = Receiver(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path, *names: str, authority: bool = True) -> Path:
    """Make a certificate that vouches for itself, and its key, in one file.

    Some clients take that of an authority for no server's.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver of a test")])
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(one)) if one[0].isdigit() else x509.DNSName(one) for one in names
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"certificate-{x509.random_serial_number():x}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def client_tls(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts this certificate and no other."""
    return ssl.create_default_context(cafile=str(certificate))


TRUSTING_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A client's context where no test needs TLS: to load the certificates of the machine takes longer than most tests."""


def no_endpoints(db: Pool, policy: OutgoingPolicy | None = None) -> WebhookEndpoints:
    """The service of endpoints, with a key of its own."""
    secret_box = SecretBox(Keyring([bytes(32)]))
    client = OutgoingClient(policy or OutgoingPolicy(), tls=TRUSTING_NOBODY)
    sender = WebhookSender(
        client, formats={"ava": AvaPayloadFormat(db)}, secret_box=secret_box, clock=system_clock
    )
    return WebhookEndpoints(db, style="ava", clock=system_clock, secret_box=secret_box, sender=sender)
