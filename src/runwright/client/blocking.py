"""The synchronous client."""

import time
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

from runwright.client.base import Client
from runwright.client.dual_mode import Sync
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


class BlockingTransport:
    """A transport whose coroutines block and never suspend."""

    blocking = True

    def __init__(self, url: str, client: httpx.Client | None = None) -> None:
        """`client`: what sends the requests, by default over the network."""
        self._url = url
        self._client = client or httpx.Client(verify=tls_context(url), trust_env=not is_loopback(url))

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Return the answer."""
        try:
            return response_of(self._client.send(self._prepared(request)))
        except NO_ANSWER as error:
            raise unreachable(self._url, error) from None

    async def events(self, request: ApiRequest) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events of a stream."""
        try:
            response = self._client.send(self._prepared(request), stream=True)
            try:
                if response.status_code != OK:
                    raise api_error(response.status_code, lower_case(response.headers), response.read())
                for event in EventSource(response).iter_sse():
                    yield event
            finally:
                response.close()
        except NO_ANSWER as error:
            raise unreachable(self._url, error) from None

    async def sleep(self, seconds: float) -> None:
        """Return after that time."""
        time.sleep(seconds)  # noqa: ASYNC251  this transport blocks

    async def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _prepared(self, request: ApiRequest) -> httpx.Request:
        return self._client.build_request(
            request.method,
            self._url + request.path,
            params=request.query or None,
            headers=headers_of(request),
            content=request.body if request.progress is None else request.chunks(),
            timeout=timeout_of(request),
        )


class Runwright(Client[Sync]):
    """A server, with blocking methods.

    ```python
    with Runwright.from_profile() as rw:
        job = rw.jobs.run("digest", {"rows": 12}, wait=30)
        print(job.status, job.output)
    ```

    It may be used by several threads, and in a process with an event loop.
    """

    @staticmethod
    def _transport(url: str) -> Transport:
        return BlockingTransport(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
