"""Workers by name: the API takes ids, people know names."""

import re
import time
from contextlib import aclosing
from typing import Final

from runwright.client.errors import ApiError, ClientError
from runwright.client.models.workers import WorkerInfo
from runwright.client.pagination import PageSource, list_rows
from runwright.client.session import Session

_ID: Final = re.compile(r"wkr_[0-9a-z]{26}")
_KEPT_SECONDS: Final = 30.0
_DEPRECATED: Final = "deprecated"
_NOT_FOUND: Final = 404


class AmbiguousNameError(ClientError):
    """Several workers have the name; only their ids are unique."""


async def worker_id(session: Session, worker: str) -> str:
    """Return the id of a worker, given by id or by name; what was found is used for half a minute."""
    if _ID.fullmatch(worker):
        return worker
    found, until = session.worker_ids.get(worker, ("", 0.0))
    if time.monotonic() >= until:
        found = (await find_worker(session, worker)).id
        session.worker_ids[worker] = found, time.monotonic() + _KEPT_SECONDS
    return found


async def worker_ids(session: Session, worker: str) -> tuple[str, ...]:
    """Return the id of a worker as the ids of a route."""
    return (await worker_id(session, worker),)


async def find_worker(session: Session, worker: str) -> WorkerInfo:
    """Return the worker with an id, or the active one with a name. ApiError, AmbiguousNameError."""
    if _ID.fullmatch(worker):
        return await session.read(WorkerInfo, "GET /v1/ava/workers/{worker_id}", worker)
    source = PageSource(into=WorkerInfo, route="GET /v1/ava/workers", query={"q": worker, "per_page": 100})
    similar: list[str] = []
    named: list[WorkerInfo] = []
    async with aclosing(list_rows(session, source)) as rows:
        async for row in rows:
            if row.status != _DEPRECATED:
                (named.append(row) if row.name == worker else similar.append(row.name))
    if not named:
        raise _unknown(worker, similar)
    if len(named) > 1:
        ids = ", ".join(one.id for one in named[:5])
        raise AmbiguousNameError(f"{len(named)} workers are named {worker!r}; give an id: {ids}.")
    return named[0]


def _unknown(worker: str, similar: list[str]) -> ApiError:
    meant = f" Did you mean {similar[0]!r}?" if similar else ""
    return ApiError(f"There is no worker {worker!r}.{meant}", status=_NOT_FOUND, code="resource_not_found")
