"""`runwright webhooks listen`: what webhooks would get, printed here and sent to a local port."""

import importlib
import re
import sys
import time
from itertools import islice
from os import environ
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runwright.cli.event_tail import PATIENT_RETRIES, TYPE_COLUMNS, event_clock, follow_events
from runwright.cli.exits import ExitCode, UsageError
from runwright.cli.refs import short_id
from runwright.cli.remote import Remote, open_client, reads
from runwright.cli.terminal import note, painter
from runwright.client.errors import ApiError
from runwright.outbox.signing import hex_signature, new_signing_secret, standard_signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runwright.client.models.events import EventInfo

SECRET_VARIABLE: Final = "RUNWRIGHT_WEBHOOK_SECRET"  # noqa: S105  a name

_FAMILIES: Final = (
    "ava.job.*,ava.worker.*,ava.schedule.*,ava.question.*,ava.automation.*,ava.agent.action,custom.*"
)
"""What a webhook can subscribe to."""

_SECONDS: Final = 10.0
_PORT: Final = re.compile(r":?(\d{1,5})(/.*)?", re.ASCII)
_NOT_FOUND: Final = 404


@reads
def listen(
    remote: Remote,
    *,
    forward_to: Annotated[
        str | None,
        typer.Option("--forward-to", "-f", metavar="PORT|URL", help="Such as 3000, 3000/hook or a URL."),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--event", "-e", metavar="TYPE", help="Such as job.failed or job.*; by default all."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, metavar="N", help="End after so many.")
    ] = None,
) -> None:
    """Print what webhooks would get, and send it to a local port, until Ctrl-C.

    The server need not reach this machine: events come over a connection that this command opens. Each is
    sent with the body and the signatures of a real delivery, by a secret that is printed (or yours, in
    RUNWRIGHT_WEBHOOK_SECRET), once: there are no retries, no record of deliveries, and nothing from before.

    Examples:
    $ runwright webhooks listen
    $ runwright webhooks listen --forward-to 3000/hook -e job.failed
    """
    forwarder = None if forward_to is None else Forwarder(local_url(forward_to), _secret())
    chosen = ",".join(events) if events else _FAMILIES
    try:
        for event, body in islice(_bodies(remote, chosen, forwarder), count):
            outcome = "" if forwarder is None else forwarder.send(event.id, body)
            _show(remote, event, body, outcome)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _bodies(remote: Remote, types: str, forwarder: "Forwarder | None") -> "Iterator[tuple[EventInfo, bytes]]":
    """Yield events with the bodies that webhooks get of them."""
    remote.client.events.list(type=types, per_page=1).page()  # what is wrong is reported now
    with open_client(remote.target, retries=PATIENT_RETRIES) as client:
        for event in follow_events(remote, {"type": types}, lambda: _announce(forwarder)):
            try:
                yield event, client.events.webhook_body(event.id)
            except ApiError as error:
                if error.status != _NOT_FOUND:  # deleted since, or no webhook can have it
                    raise


def _announce(forwarder: "Forwarder | None") -> None:
    if forwarder is not None:
        note(f"forwarding to {forwarder.url}")
        note(f"signing secret: {forwarder.secret}")


def local_url(text: str) -> str:
    """Return the URL that a port, a port with a path, or a URL means. UsageError."""
    port = _PORT.fullmatch(text)
    if port is not None:
        if not 0 < int(port[1]) < 65_536:  # noqa: PLR2004  ports
            raise UsageError(f"{port[1]} is no port.")
        return f"http://127.0.0.1:{port[1]}{port[2] or '/'}"
    url = text if "://" in text else f"http://{text}"
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
        raise UsageError(f"--forward-to is no port and no URL: {text!r}.", hint="--forward-to 3000/hook")
    return url


def _secret() -> str:
    return environ.get(SECRET_VARIABLE) or new_signing_secret()


class Forwarder:
    """Sends bodies as deliveries are sent."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self.secret = secret
        self._http: Any = importlib.import_module("runwright.client.http_library").httpx
        self._client: Any = self._http.Client(timeout=_SECONDS, trust_env=False)

    def send(self, event_id: str, body: bytes) -> str:
        """Send a body, once, and return what came of it."""
        began = time.monotonic()
        try:
            answer = self._client.post(self.url, content=body, headers=self._headers(event_id, body))
        except self._http.HTTPError as error:
            return f"failed: {str(error) or type(error).__name__}"
        return f"{answer.status_code}  {round((time.monotonic() - began) * 1000)} ms"

    def _headers(self, event_id: str, body: bytes) -> dict[str, str]:
        timestamp = int(time.time())
        return {
            "Content-Type": "application/json",
            "X-HLD-Signature-256": f"sha256={hex_signature(self.secret, body)}",
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": standard_signature(self.secret, event_id, timestamp, body),
        }


def _show(remote: Remote, event: "EventInfo", body: bytes, outcome: str) -> None:
    if not remote.output.is_table:
        sys.stdout.write(body.decode() + "\n")
        sys.stdout.flush()
        if outcome:
            note(f"{event.id}  {outcome}", "dim")
        return
    paint = painter(sys.stdout)
    parts = (
        paint("dim", event_clock(event)),
        paint("bold", event.type.ljust(TYPE_COLUMNS)),
        paint("dim", short_id(event.id, sys.stdout)),
        paint("green" if outcome.startswith("2") else "red", outcome),
    )
    sys.stdout.write("  ".join(part for part in parts if part).rstrip() + "\n")
    sys.stdout.flush()
