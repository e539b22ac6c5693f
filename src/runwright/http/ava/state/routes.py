"""The routes and schemas of the state of workers."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runwright.core.errors import NotFoundError
from runwright.http.ava.authorization import READS, WRITES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import AnyJson, Data, Time
from runwright.http.ava.workers.routes import worker_id_of
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.runtimes.handler_calls import is_key
from runwright.workers.state import StateValue

ROUTES: Final = Routes(AVA, "/v1/ava/workers", tag="Workers")


class StateOut(msgspec.Struct, frozen=True, kw_only=True):
    """A value in the state of a worker."""

    openapi_name = "StateValue"

    key: str
    value: AnyJson
    bytes: Annotated[int, Meta(description="The size of its JSON in bytes.")]
    job_id: Annotated[str, Meta(description="The job that wrote it.")]
    updated_at: Time


def _state_out(value: StateValue) -> StateOut:
    return to_out(StateOut, value)


@ROUTES.add("GET", "/{worker_id}/state", READS, "Read the state of a worker", errors=(404, 422))
async def list_state(request: Request) -> Data[list[StateOut]]:
    """Returns all values that handlers have set with `job.set`, by key; at most 256, of 1 MiB together."""
    values = await request.services.worker_state.list(request.tenant_id, worker_id_of(request))
    return Data([_state_out(value) for value in values])


@ROUTES.add("GET", "/{worker_id}/state/{key}", READS, "Read a value of the state", errors=(404, 422))
async def get_state(request: Request) -> Data[StateOut]:
    state = request.services.worker_state
    return Data(_state_out(await state.get(request.tenant_id, worker_id_of(request), _key_of(request))))


@ROUTES.add("DELETE", "/{worker_id}/state", WRITES, "Delete the state of a worker", errors=(404, 422))
async def clear_state(request: Request) -> None:
    """Deletes all values permanently; running jobs read null from now on."""
    await request.services.worker_state.delete(request.caller, worker_id_of(request), None)


@ROUTES.add("DELETE", "/{worker_id}/state/{key}", WRITES, "Delete a value of the state", errors=(404, 422))
async def delete_state(request: Request) -> None:
    await request.services.worker_state.delete(request.caller, worker_id_of(request), _key_of(request))


def _key_of(request: Request) -> str:
    """Return the key in the path; NotFoundError if it cannot be one."""
    key = request.params["key"]
    if not is_key(key):
        raise NotFoundError("The worker's state has no such key.")
    return key
