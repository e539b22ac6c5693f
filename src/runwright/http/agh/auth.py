"""Authentication of the AGH API, and protection against DNS rebinding.

The key is sent as `Authorization: Bearer KEY` or `X-Api-Key`. A tenant's key selects the tenant; a platform
key acts for the tenant in `X-Tenant-Id`, by default for the default tenant. In development, a server on a
loopback address accepts local callers without a key, as the default tenant.

Host and Origin must be an IP address, localhost or a host that the operator allows. So no foreign web page
can reach the API from a visitor's browser through a host name that resolves to this server.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from runwright.automations.ids import DEFAULT_TENANT
from runwright.core.errors import ForbiddenError, MalformedError, UnauthenticatedError, UnavailableError
from runwright.core.roles import Caller, Role
from runwright.http.agh.errors import MovedError
from runwright.http.callers import ROLE, TENANT, USER, address_of, admit_caller
from runwright.http.guards import Needs
from runwright.http.request_id import request_id_of
from runwright.http.services import EdgeSettings, Services, services_of

API_KEY: Final = b"x-api-key"
_ONCE: Final = (API_KEY, b"authorization", b"host", b"origin", TENANT, USER, ROLE)
_LONGEST_KEY: Final = 512
_PORT: Final = re.compile(r":\d{1,5}\Z", re.ASCII)
_DEFAULTS: Final = {TENANT: DEFAULT_TENANT.encode(), USER: b"platform", ROLE: b"tenant-system-admin"}

AghRequest = Request[Caller, None, State]


class AghNeeds(Needs):
    """The guard of AGH's routes."""

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        scope = connection.scope
        if scope.get("raw_path", b"").endswith(b"/"):
            raise MovedError
        if "\0" in scope["path"]:
            raise NotFoundException
        headers = read_headers(scope)
        edge: EdgeSettings = connection.app.state.edge
        check_host(headers, edge)
        check_origin(headers, edge)
        services = services_of(connection)
        scope["user"] = await _admit(scope, headers, services, edge, self.role)
        if not services.automations.policy.enabled:
            raise UnavailableError("automation is disabled")


READS: Final = AghNeeds(Role.TENANT_VIEWER)
WRITES: Final = AghNeeds(Role.TENANT_SYSTEM_ADMIN)


def read_headers(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers by name. Raises MalformedError if one that affects access is repeated."""
    names = [name for name, _ in scope["headers"]]
    for name in _ONCE:
        if names.count(name) > 1:
            raise MalformedError(f"the header {name.decode()} is given more than once")
    return dict(scope["headers"])


def check_host(headers: Mapping[bytes, bytes], edge: EdgeSettings) -> None:
    """Refuse a request for a foreign host name. Raises ForbiddenError."""
    if not _is_own_host(headers.get(b"host", b"").decode("latin-1"), edge):
        raise ForbiddenError("host not allowed")


def check_origin(headers: Mapping[bytes, bytes], edge: EdgeSettings) -> None:
    """Refuse a request of a foreign web page. Raises ForbiddenError."""
    origin = headers.get(b"origin")
    if origin is None:
        return
    parts = urlsplit(origin.decode("latin-1"))
    same = parts.netloc == headers.get(b"host", b"").decode("latin-1")
    if parts.scheme not in {"http", "https"} or not (
        (same and _is_own_host(parts.netloc, edge)) or _is_allowed(parts.netloc, edge)
    ):
        raise ForbiddenError("origin not allowed")


def _is_own_host(host: str, edge: EdgeSettings) -> bool:
    name = _PORT.sub("", host)
    if name == "localhost" or _is_allowed(host, edge):
        return True
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _is_allowed(host: str, edge: EdgeSettings) -> bool:
    """Return whether the operator allows this host, with or without its port."""
    allowed = {name.lower() for name in edge.allowed_hosts}
    if edge.public_url:
        allowed.add(urlsplit(edge.public_url).netloc.lower())
    return bool({"*", host.lower(), _PORT.sub("", host.lower())} & allowed)


async def _admit(
    scope: Scope, headers: dict[bytes, bytes], services: Services, edge: EdgeSettings, needed: Role
) -> Caller:
    text = _key_text(headers)
    if text is None:
        if edge.keyless and _on_this_machine(scope):
            role, request_id = Role.TENANT_SYSTEM_ADMIN, request_id_of(scope)
            return Caller(DEFAULT_TENANT, "anonymous", role, "none", request_id)
        raise _unauthenticated()
    key = await services.keys.authenticate(text, address_of(scope))
    if key is None:
        raise _unauthenticated()
    if key.tenant_id is None:
        headers = _DEFAULTS | {name: value for name, value in headers.items() if value}
    return admit_caller(scope, key, headers, services, needed)


def _key_text(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key of a request; None if it has none."""
    text = headers.get(API_KEY)
    if text is None:
        if b"authorization" not in headers:
            return None
        scheme, _, text = headers[b"authorization"].partition(b" ")
        if scheme.lower() != b"bearer":
            raise _unauthenticated()
    text = text.strip()
    if not 0 < len(text) <= _LONGEST_KEY or not text.isascii():
        raise _unauthenticated()
    return text.decode("ascii")


def _on_this_machine(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and ip_address(client[0]).is_loopback


def _unauthenticated() -> UnauthenticatedError:
    return UnauthenticatedError("the API key is missing, wrong or revoked")
