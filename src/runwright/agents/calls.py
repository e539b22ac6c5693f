"""Calls of agents as a subject of the outbox: the request, and what follows from the answer.

- A 2xx whose body is a JSON object with a valid `action` decides the execution.
- Any other 2xx acknowledges it: the agent decides later, or the execution times out. An answer that seems to
  decide and cannot be read is reported in the error of the execution at once.
- 410 means that the agent is gone: it is deactivated.
- Anything else is retried, after the delay of the retry policy or of `Retry-After`, as long as the
  execution is still open by then; otherwise it has failed.

An agent with a worker is not called: a job of the worker is submitted in the transaction that deletes the
row of the outbox.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Protocol

from runwright.agents.model import (
    AgentCall,
    CallOutcome,
    Execution,
    answer_problem,
    decision_of,
    without_mark,
)
from runwright.agents.store.calls import AGENT_QUEUE, load_calls, settle_calls
from runwright.agents.store.deciding import NewDecision, decide_executions
from runwright.agents.worker_jobs import submit_jobs
from runwright.core.clock import Clock, Stopwatch
from runwright.core.ids import OwnerId
from runwright.db.batching import SplitDecision, divide
from runwright.db.pool import Database
from runwright.outbox.client.client import OutgoingClient, OutgoingError
from runwright.outbox.client.http_connection import Response
from runwright.outbox.queue import OutboxClaim, OutboxQueue, Settlement, release_claims
from runwright.outbox.retry_after import wait_seconds
from runwright.secrets.keyring import SecretBox
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.agents import AgentDeactivated, AgentJobsSubmitted
from runwright.telemetry.events.outbox import AgentCalled, OutboxSetAside

RETRY_SECONDS: Final = (5.0, 30.0, 120.0)
"""The delay after each failed call; after the last one there is no retry."""

RESPONSE_SECONDS: Final = 30.0
"""Timeout of one call."""

SET_ASIDE_SECONDS: Final = 10.0
_UNSIGNED: Final = "The agent's secret was lost with the key that encrypted it: delete and register it again."
_RESPONSE_BYTES: Final = 256 * 1024
_OK: Final = range(200, 300)
_GONE: Final = 410
_BY_CALLBACK: Final = "callback"


class CallbackFormat(Protocol):
    """A dialect's body and headers of a callback."""

    def body(self, execution: Execution) -> bytes:
        """Return the JSON object that is sent to a callback, and is the input of a worker's job."""

    def headers(self, execution: Execution, body: bytes, secret: str) -> Sequence[tuple[str, str]]:
        """Return the headers of a callback, with its signature by the agent's secret."""


class AgentCaller:
    """Makes the requests."""

    def __init__(
        self,
        client: OutgoingClient,
        *,
        formats: Mapping[str, CallbackFormat],
        secret_box: SecretBox,
        clock: Clock,
    ) -> None:
        self._client = client
        self._formats = formats
        self._secret_box = secret_box
        self._clock = clock

    def body(self, call: AgentCall) -> bytes:
        """Return the body of a call."""
        return self._formats[call.style].body(call.execution)

    async def call(self, call: AgentCall, url: str) -> CallOutcome:
        """Call an agent. Raises only for what is not the agent's fault: a vault key that is missing."""
        execution = call.execution
        if call.secret is None:
            return CallOutcome(error=_UNSIGNED)
        secret = self._secret_box.decrypt(execution.tenant_id, OwnerId(execution.agent_id), call.secret)
        body = self.body(call)
        headers = self._formats[call.style].headers(execution, body, secret)
        try:
            response = await self._client.post(
                url, headers, body, total_seconds=RESPONSE_SECONDS, wanted_bytes=_RESPONSE_BYTES
            )
        except OutgoingError as problem:
            return self._failed(call, problem.message, None)
        if response.status in _OK:
            return _accepted(response)
        message = f"The callback answered {response.status}."
        if response.status == _GONE:
            return CallOutcome(error=message, gone=True)
        return self._failed(call, message, response)

    def _failed(self, call: AgentCall, message: str, response: Response | None) -> CallOutcome:
        now, expires_at = self._clock(), call.execution.expires_at
        if call.claim.failed_attempts >= len(RETRY_SECONDS) or expires_at is None:
            return CallOutcome(error=message)
        asked = None if response is None else response.retry_after
        step = RETRY_SECONDS[call.claim.failed_attempts]
        retry_at = now + timedelta(seconds=wait_seconds(step, asked, now))
        return CallOutcome(error=message, retry_at=retry_at if retry_at < expires_at else None)


def _accepted(response: Response) -> CallOutcome:
    """Return the outcome of a 2xx: a decision, or an acknowledgement with what could not be read of it."""
    if not response.complete:
        return CallOutcome(
            note=f"The callback's answer has more than {_RESPONSE_BYTES} bytes and was not read."
        )
    body = without_mark(response.body)
    decision = decision_of(body)
    return CallOutcome(decision=decision, note=None if decision else answer_problem(body))


class AgentSubject:
    """Executions for the loop that sends what is in the outbox."""

    def __init__(
        self,
        caller: AgentCaller,
        *,
        clock: Clock,
        on_jobs: Callable[[], None],
        on_decided: Callable[[], None],
        emit: Emit,
        queue: OutboxQueue = AGENT_QUEUE,
    ) -> None:
        """`on_jobs` is called after jobs were queued, `on_decided` after executions were decided."""
        self.queue = queue
        self._caller = caller
        self._clock = clock
        self._on_jobs = on_jobs
        self._on_decided = on_decided
        self._split = SplitDecision()
        self._emit = emit

    async def load(self, db: Database, claims: Sequence[OutboxClaim]) -> Sequence[AgentCall]:
        """Submit the jobs of agents that have a worker, and return the calls of the others."""
        calls = await load_calls(db, claims, self._clock())
        await self._submit(db, [(call, call.worker_id) for call in calls if call.worker_id is not None])
        return [call for call in calls if call.worker_id is None]

    async def _submit(self, db: Database, calls: Sequence[tuple[AgentCall, str]]) -> None:
        if not calls:
            return
        watch, submitted = Stopwatch(), 0

        async def submit(some: Sequence[tuple[AgentCall, str]]) -> None:
            nonlocal submitted
            submitted += await submit_jobs(db, some, self._caller.body, self._clock())

        for (call, _), error in await divide(calls, submit, self._split):  # not the agent's fault
            self._emit(OutboxSetAside(kind=self.queue.kind, id=call.claim.id, error=error_text(error)))
            until = self._clock() + timedelta(seconds=SET_ASIDE_SECONDS)
            await release_claims(db, [(call.claim, until)])
        self._emit(AgentJobsSubmitted(count=submitted, duration_seconds=watch.seconds()))
        if submitted:
            self._on_jobs()

    async def send(self, item: AgentCall) -> Settlement[CallOutcome]:
        """Call the agent; one that has neither a callback nor a worker any more polls."""
        watch, outcome = Stopwatch(), CallOutcome()
        if item.callback_url is not None:
            outcome = await self._caller.call(item, item.callback_url)
        failed = bool(outcome.error)
        self._emit(AgentCalled(result="failed" if failed else "answered", duration_seconds=watch.seconds()))
        return Settlement(claim=item.claim, result=outcome, retry_at=outcome.retry_at, failed=failed)

    async def settle(self, db: Database, settlements: Sequence[Settlement[CallOutcome]]) -> set[str]:
        """Record decisions, acknowledgements and failures.

        Reports no claim as lost: that an agent sends its decision while it is being called is normal.
        """
        decisions = [
            NewDecision(execution_id=one.claim.id, decision=one.result.decision, by=_BY_CALLBACK)
            for one in settlements
            if one.result is not None and one.result.decision is not None
        ]
        others = [one for one in settlements if one.result is None or one.result.decision is None]
        if decisions:
            await decide_executions(db, decisions, self._clock())
            self._on_decided()
        settled = await settle_calls(db, others, self._clock()) if others else set()
        for one in others:
            if one.result is not None and one.result.gone and one.claim.id in settled:
                self._emit(AgentDeactivated(agent_id=one.claim.destination_id))
        return set()
