"""A DSN with several hosts as one DSN for each, and the race between them.

asyncpg tries hosts one after the other within one time-out, so a first host that has vanished uses all
of it. Here each host has an attempt of its own; the next one starts after `HEAD_START_SECONDS`, or as
soon as the one before has failed, and the first connection wins.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from runwright.db.availability import Droppable

HEAD_START_SECONDS: Final = 0.3

T = TypeVar("T", bound=Droppable)
Attempt = Callable[[], Coroutine[None, None, T]]


def split_hosts(dsn: str) -> list[str]:
    """Return one DSN for each host; with several, only the primary is connected to.

    `postgresql://a,b/db` and `postgresql:///db?host=a,b` are understood, with one port or one for each.
    A DSN that selects servers by `target_session_attrs` keeps it.
    """
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    account, at, places = parts.netloc.rpartition("@")
    if places:
        single = [parts._replace(netloc=f"{account}{at}{place}") for place in places.split(",")]
        queries = [query] * len(single)
    else:
        queries = _split_query(query)
        single = [parts] * len(queries)
    if len(single) == 1:
        return [dsn]
    return [_join(one, one_query) for one, one_query in zip(single, queries, strict=True)]


def _split_query(query: dict[str, str]) -> list[dict[str, str]]:
    hosts = query.get("host", "").split(",")
    ports = query["port"].split(",") if "port" in query else []
    if len(ports) not in {0, 1, len(hosts)}:
        return [query]  # asyncpg reports it
    queries = [query | {"host": host} for host in hosts]
    for number, one in enumerate(queries):
        if ports:
            one["port"] = ports[number % len(ports)]
    return queries


def _join(parts: SplitResult, query: dict[str, str]) -> str:
    query = {"target_session_attrs": "primary"} | query
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(query, quote_via=quote)}"


async def connect_to_first(attempts: Sequence[Attempt[T]]) -> T:
    """Return the first connection; the error of the first host if there is none."""
    waiting = list(attempts)
    errors: list[BaseException] = []
    started: set[asyncio.Task[T]] = set()
    try:
        while waiting or not all(task.done() for task in started):
            if waiting:
                started.add(asyncio.create_task(waiting.pop(0)()))
            under_way = {task for task in started if not task.done()}
            done, _ = await asyncio.wait(
                under_way,
                timeout=HEAD_START_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    started.discard(task)
                    return task.result()
                errors.append(error)
        raise errors[0]
    finally:
        await _discard(started)


async def _discard(tasks: set[asyncio.Task[T]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(result, BaseException):
            result.drop()
