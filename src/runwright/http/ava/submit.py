"""`POST /v1/ava/jobs`, the hottest route.

The framework costs more than the whole rest of this request, so the front hands it straight to
`SubmitRoute`, a bare ASGI application. Litestar has the same route (it is in `app.routes`, and
answers any other spelling of the path), and both call `answer`: one meaning, two doors.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from litestar.connection import ASGIConnection
from litestar.types import Receive, Scope, Send

from runwright.core.roles import Caller
from runwright.http.answer import Answer, send_answer
from runwright.http.ava.auth import WRITES, admit, read_headers
from runwright.http.ava.errors import error_answer
from runwright.http.ava.job_forms import CREATE_JOB, SUBMIT_QUERY, read_idempotency, submission_of
from runwright.http.ava.shapes import job_wire
from runwright.http.ava.wire import Data
from runwright.http.body import read_json_body
from runwright.http.request_id import request_id_of
from runwright.http.services import EdgeSettings, Services

PATH: Final = "/v1/ava/jobs"

_encode: Final = msgspec.json.Encoder().encode


class SubmitRoute:
    """The route as a bare ASGI application, and its meaning as `answer`."""

    def __init__(self, services: Services, edge: EdgeSettings) -> None:
        self._services = services
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = read_headers(scope)
            caller = await admit(scope, headers, self._services, WRITES.role)
            answer = await self.answer(caller, headers, scope["query_string"], receive)
        except Exception as error:  # noqa: BLE001  the last resort, which logs what it does not know
            answer = error_answer(error, request_id=request_id_of(scope), docs_url=self._edge.public_url)
        await send_answer(send, answer)

    async def answer(
        self, caller: Caller, headers: Mapping[bytes, bytes], query: bytes, receive: Receive
    ) -> Answer:
        """Check, accept and answer one job: 201 with its record, 200 where the key was replayed."""
        wait = SUBMIT_QUERY.read_query(query).wait if query else 0.0
        body = await read_json_body(headers, receive, self._edge)
        submission = submission_of(CREATE_JOB.read_json(body), caller, self._services.clock())
        idempotency = read_idempotency(headers, body)
        jobs = self._services.jobs
        if wait > 0:
            job = await jobs.submit_and_wait(submission, idempotency, wait)
        else:
            job = await jobs.submit(submission, idempotency)
        return Answer(201 if job.id == submission.id else 200, _encode(Data(job_wire(job))))


def submit_of(connection: ASGIConnection[Any, Any, Any, Any]) -> SubmitRoute:
    """Return the route as the application of a request has it."""
    return cast("SubmitRoute", connection.app.state.submit)
