"""One attempt: the body in the endpoint's dialect, its signatures, the request, the verdict."""

import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from runwright.core.clock import Clock
from runwright.events.model import Event
from runwright.outbox.client.client import OutgoingClient, OutgoingError
from runwright.outbox.model import (
    RESPONSE_SECONDS,
    RETRY_SECONDS,
    ClaimedDelivery,
    Outcome,
)
from runwright.secrets.keyring import SecretBox

_GONE: Final = 410
_OK: Final = range(200, 300)


class PayloadFormat(Protocol):
    """A dialect's way to tell events: the words of the body, the headers around it.

    The body of an event is the same whenever it is asked for.
    """

    async def body(self, event: Event) -> bytes | None:
        """Return the body; None where what it is about is no more."""

    def headers(
        self, event: Event, delivery_id: str, body: bytes, secrets: Sequence[str], now: float
    ) -> list[tuple[str, str]]:
        """Return the headers with a signature by each secret, the newest first."""


class Verdict(msgspec.Struct, frozen=True):
    """What follows from an attempt that failed: another one after a while, or none."""

    retry_seconds: float | None
    gone: bool = False


def judge(step: int, outcome: Outcome) -> Verdict:
    """Return what follows where `step` attempts had failed before this one did."""
    if outcome.response_status == _GONE:
        return Verdict(None, gone=True)
    return Verdict(RETRY_SECONDS[step] if step < len(RETRY_SECONDS) else None)


class Sender:
    """Sends parcels."""

    def __init__(
        self,
        client: OutgoingClient,
        *,
        styles: Mapping[str, PayloadFormat],
        secret_box: SecretBox,
        clock: Clock,
    ) -> None:
        self._client = client
        self._styles = styles
        self._secret_box = secret_box
        self._clock = clock

    async def body(self, style: str, event: Event) -> bytes | None:
        """Return what is sent of an event; None where what it is about is no more."""
        return await self._styles[style].body(event)

    async def send(self, parcel: ClaimedDelivery) -> Outcome:
        """Try to deliver. Raises only for what is no fault of the endpoint: database, vault key."""
        style = self._styles[parcel.style]
        secrets = [
            self._secret_box.decrypt(parcel.event.tenant_id, parcel.endpoint_id, one)
            for one in parcel.secrets
        ]
        body = await style.body(parcel.event)
        started_at, began = self._clock(), time.monotonic()
        status: int | None = None
        error: str | None = None
        if body is None:
            error = "What the event is about is not kept any more."
        else:
            headers = style.headers(parcel.event, parcel.delivery_id, body, secrets, started_at.timestamp())
            try:
                answer = await self._client.post(parcel.url, headers, body, total_seconds=RESPONSE_SECONDS)
                status = answer.status
                error = None if status in _OK else f"The endpoint answered {status}."
            except OutgoingError as problem:
                error = problem.message
        return Outcome(
            started_at=started_at,
            duration_ms=round((time.monotonic() - began) * 1000),
            response_status=status,
            error=error,
        )
