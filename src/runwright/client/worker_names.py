"""Workers by name: the API takes ids, people know names."""

import re
import time
from contextlib import aclosing
from difflib import get_close_matches
from typing import Final

from runwright.client.errors import ApiError, ClientError
from runwright.client.models.workers import WorkerInfo
from runwright.client.pagination import PageSource, list_rows, read_page
from runwright.client.session import Session

_LIST: Final = "GET /v1/ava/workers"
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
        found = (await _find_named(session, worker)).id
        session.worker_ids[worker] = found, time.monotonic() + _KEPT_SECONDS
    return found


async def worker_ids(session: Session, worker: str) -> tuple[str, ...]:
    """Return the id of a worker as the ids of a route."""
    return (await worker_id(session, worker),)


async def find_worker(session: Session, worker: str) -> WorkerInfo:
    """Return the worker with an id, or the active one with a name. ApiError, AmbiguousNameError."""
    found = worker if _ID.fullmatch(worker) else (await _find_named(session, worker)).id
    return await session.read(WorkerInfo, "GET /v1/ava/workers/{worker_id}", found)


async def _find_named(session: Session, worker: str) -> WorkerInfo:
    """Return the active worker with a name, without its source. ApiError, AmbiguousNameError."""
    query = {"q": worker, "payloads": False, "per_page": 100}
    source = PageSource(into=WorkerInfo, route=_LIST, query=query)
    similar: list[str] = []
    named: list[WorkerInfo] = []
    async with aclosing(list_rows(session, source)) as rows:
        async for row in rows:
            if row.status != _DEPRECATED:
                (named.append(row) if row.name == worker else similar.append(row.name))
    if not named:
        raise _unknown(worker, similar or await _misspelt(session, worker))
    if len(named) > 1:
        ids = ", ".join(one.id for one in named[:5])
        raise AmbiguousNameError(f"{len(named)} workers are named {worker!r}; give an id: {ids}.")
    return named[0]


async def _misspelt(session: Session, worker: str) -> list[str]:
    """Return the name that is most like one, among the newest workers."""
    query = {"filter[status]": "active", "payloads": False, "per_page": 100}
    newest = await read_page(session, PageSource(into=WorkerInfo, route=_LIST, query=query), None)
    return get_close_matches(worker, [row.name for row in newest.rows], n=1)


def _unknown(worker: str, similar: list[str]) -> ApiError:
    meant = f" Did you mean {similar[0]!r}?" if similar else ""
    return ApiError(f"There is no worker {worker!r}.{meant}", status=_NOT_FOUND, code="resource_not_found")
