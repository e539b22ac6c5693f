"""What a transport does, and what the two have in common."""

import os
import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

from runwright.client.errors import Unreachable
from runwright.client.http_library import ServerSentEvent, httpx
from runwright.client.messages import ApiRequest, ApiResponse
from runwright.client.urls import PROXIES, is_loopback

OK: Final = 200

_CONNECT_SECONDS: Final = 10.0
_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")
_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


NO_ANSWER: Final = (httpx.TransportError, httpx.DecodingError)
"""What httpx raises where no answer came, or not the whole of one."""


class Transport(Protocol):
    """Sends requests. Raises Unreachable where no answer came."""

    blocking: bool
    """Whether its coroutines block, so that they never suspend."""

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Return the answer, whatever its status."""

    def events(self, request: ApiRequest) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events of a stream until it ends. Raises ApiError where the answer is no stream."""

    async def sleep(self, seconds: float) -> None:
        """Return after that time."""

    async def close(self) -> None:
        """Close the connections."""


def tls_context(url: str) -> ssl.SSLContext:
    """Return a context that trusts the system's CAs, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.

    For plain HTTP it trusts none: reading the CAs would take longer than the request.
    """
    encrypted = urlsplit(url).scheme == "https"
    if not encrypted and (is_loopback(url) or not any(os.environ.get(name) for name in PROXIES)):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        return httpx.create_ssl_context(trust_env=False)  # those that httpx brings
    return ssl.create_default_context()


def timeout_of(request: ApiRequest) -> httpx.Timeout:
    """Return the time limits of a request: for connecting, and for silence."""
    return httpx.Timeout(request.timeout, connect=min(_CONNECT_SECONDS, request.timeout))


def headers_of(request: ApiRequest) -> dict[str, str]:
    """Return the headers; a body in chunks is announced with its length."""
    if request.progress is None:
        return dict(request.headers)
    return {**request.headers, "content-length": str(len(request.body or b""))}


def response_of(response: httpx.Response) -> ApiResponse:
    """Return a response that was read as the client sees it."""
    return ApiResponse(response.status_code, lower_case(response.headers), response.content)


def lower_case(headers: httpx.Headers) -> Mapping[str, str]:
    """Return headers by their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


def unreachable(url: str, error: httpx.RequestError) -> Unreachable:
    """Return the error for an exchange that failed, without the path and the key of the request."""
    sent = not isinstance(error, _NOT_SENT)
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        reason = f"no connection within {_CONNECT_SECONDS:.0f} s"
    elif isinstance(error, httpx.TimeoutException):
        reason = "no answer in time"
    else:
        reason = _ERRNO.sub("", str(error)) or type(error).__name__
    return Unreachable(f"{url} does not answer: {reason}.", sent=sent)
