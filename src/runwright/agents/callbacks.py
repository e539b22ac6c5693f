"""One call of an agent: its body in the agent's dialect, the request, and what follows from the answer.

- A 2xx whose body is a JSON object with a valid `action` decides the execution.
- Any other 2xx acknowledges it: the agent will decide by itself, or the time runs out.
- 410 says that the agent is gone: it is deactivated.
- Anything else is tried again, up the ladder or when `Retry-After` says, as long as the execution is
  open by then; after that it has failed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol

import msgspec

from runwright.agents.model import LONGEST_REASON, METADATA_LIMIT_BYTES, Action, Decision, Execution
from runwright.core.clock import Clock
from runwright.outbox.client.client import OutgoingClient, OutgoingError
from runwright.outbox.client.http_connection import Response
from runwright.secrets.keyring import SecretBox
from runwright.secrets.model import EncryptedValue

RETRY_SECONDS: Final = (5.0, 30.0, 120.0)
"""The ladder: how long after each failure the next call comes; after the last one there is none."""

RESPONSE_SECONDS: Final = 30.0
"""An answer that is not there by then has failed."""

_UNSIGNED: Final = "The agent's secret was lost with the key that sealed it: delete and register it again."
_ANSWER_BYTES: Final = 256 * 1024
_OK: Final = range(200, 300)
_GONE: Final = 410
_ACTIONS: Final = frozenset(Action)


class CallbackStyle(Protocol):
    """A dialect's way to tell an execution."""

    def body(self, execution: Execution) -> bytes:
        """Return the JSON object that a callback is sent, and a worker is given as its input."""

    def headers(self, execution: Execution, body: bytes, secret: str) -> Sequence[tuple[str, str]]:
        """Return the headers of a callback, with its signature by the agent's secret."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that is claimed to be told. (execution, fence) is its fencing token."""

    execution: Execution
    fence: int
    step: int
    style: str
    callback_url: str | None
    worker_id: str | None
    secret: EncryptedValue | None
    """None: it was lost with the key that sealed it."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call: a decision, an acknowledgement (neither that nor an error), or an error."""

    decision: Decision | None = None
    error: str | None = None
    retry_at: datetime | None = None
    """When to call again after an error; None: never."""
    gone: bool = False


class AgentLine:
    """Calls agents."""

    def __init__(
        self,
        client: OutgoingClient,
        *,
        styles: Mapping[str, CallbackStyle],
        secret_box: SecretBox,
        clock: Clock,
    ) -> None:
        self._client = client
        self._styles = styles
        self._secret_box = secret_box
        self._clock = clock

    def body(self, call: Call) -> bytes:
        """Return what the agent is told."""
        return self._styles[call.style].body(call.execution)

    async def call(self, call: Call, url: str) -> Answered:
        """Call an agent. Raises only for what is no fault of the agent: a vault key that is missing."""
        execution = call.execution
        if call.secret is None:
            return Answered(error=_UNSIGNED)
        secret = self._secret_box.decrypt(execution.tenant_id, execution.agent_id, call.secret)
        body = self.body(call)
        headers = self._styles[call.style].headers(execution, body, secret)
        try:
            answer = await self._client.post(
                url, headers, body, total_seconds=RESPONSE_SECONDS, wanted_bytes=_ANSWER_BYTES
            )
        except OutgoingError as problem:
            return self._failed(call, problem.message, None)
        if answer.status in _OK:
            return Answered(decision=decision_of(answer.body) if answer.complete else None)
        message = f"The callback answered {answer.status}."
        if answer.status == _GONE:
            return Answered(error=message, gone=True)
        return self._failed(call, message, answer)

    def _failed(self, call: Call, message: str, answer: Response | None) -> Answered:
        now, expires_at = self._clock(), call.execution.expires_at
        if call.step >= len(RETRY_SECONDS) or expires_at is None:
            return Answered(error=message)
        seconds = RETRY_SECONDS[call.step]
        if answer is not None and answer.retry_after is not None:
            seconds = max(seconds, _seconds_of(answer.retry_after, now))
        retry_at = now + timedelta(seconds=min(seconds, _LONG))
        return Answered(error=message, retry_at=retry_at if retry_at < expires_at else None)


_LONG: Final = 86_400.0


def _seconds_of(text: str, now: datetime) -> float:
    """Return how long a Retry-After says to wait: a number of seconds, or a date; 0 for anything else."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return (at - now).total_seconds() if at.tzinfo is not None else 0.0


def decision_of(text: bytes | msgspec.Raw) -> Decision | None:
    """Return the decision that an answer holds; None where it holds none.

    A reason is cut to what one may have; metadata that are no object, or too large, are left out.
    """
    try:
        said: Any = msgspec.json.decode(text)
        action = said.get("action") if isinstance(said, dict) else None
        if not isinstance(action, str) or action not in _ACTIONS:
            return None
        reason, metadata = said.get("reason"), said.get("metadata")
        fits = isinstance(metadata, dict) and len(msgspec.json.encode(metadata)) <= METADATA_LIMIT_BYTES
    except (ValueError, RecursionError):  # a DecodeError is one
        return None
    return Decision(
        action=Action(action),
        reason=reason[:LONGEST_REASON] if isinstance(reason, str) else None,
        metadata=metadata if fits else None,
    )
