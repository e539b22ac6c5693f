"""The asynchronous client."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from types import TracebackType
from typing import Self

import anyio

from runwright.client.base import Client
from runwright.client.dual_mode import Async
from runwright.client.errors import api_error
from runwright.client.http_library import EventSource, ServerSentEvent, httpx
from runwright.client.messages import ApiRequest, ApiResponse
from runwright.client.transports import (
    NO_ANSWER,
    OK,
    Transport,
    headers_of,
    lower_case,
    response_of,
    timeout_of,
    tls_context,
    unreachable,
)
from runwright.client.urls import is_loopback


class AsyncTransport:
    """A transport for the event loops of asyncio and of trio."""

    blocking = False

    def __init__(self, url: str, client: httpx.AsyncClient | None = None) -> None:
        """`client`: what sends the requests, by default over the network."""
        self._url = url
        self._client = client or httpx.AsyncClient(verify=tls_context(url), trust_env=not is_loopback(url))

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Return the answer."""
        try:
            return response_of(await self._client.send(self._prepared(request)))
        except NO_ANSWER as error:
            raise unreachable(self._url, error) from None

    async def events(self, request: ApiRequest) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events of a stream."""
        try:
            response = await self._client.send(self._prepared(request), stream=True)
            try:
                if response.status_code != OK:
                    raise api_error(
                        response.status_code, lower_case(response.headers), await response.aread()
                    )
                async for event in EventSource(response).aiter_sse():
                    yield event
            finally:
                await response.aclose()
        except NO_ANSWER as error:
            raise unreachable(self._url, error) from None

    async def sleep(self, seconds: float) -> None:
        """Return after that time."""
        await anyio.sleep(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _prepared(self, request: ApiRequest) -> httpx.Request:
        return self._client.build_request(
            request.method,
            self._url + request.path,
            params=request.query or None,
            headers=headers_of(request),
            content=request.body if request.progress is None else _suspending(request.chunks()),
            timeout=timeout_of(request),
        )


async def _suspending(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class AsyncRunwright(Client[Async]):
    """A server, with methods that return coroutines.

    ```python
    async with AsyncRunwright.from_profile() as rw:
        job = await rw.jobs.run("digest", {"rows": 12}, wait=30)
        async for line in rw.jobs.logs(job.id, follow=True):
            print(line.msg)
    ```
    """

    @staticmethod
    def _transport(url: str) -> Transport:
        return AsyncTransport(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
