"""Authentication of the AGH API, and protection against DNS rebinding.

The key is sent as `Authorization: Bearer KEY` or `X-Api-Key`. A tenant's key selects the tenant; a platform
key acts for the tenant in `X-Tenant-Id`, by default for the default tenant. In development, a server on a
loopback address accepts local callers without a key, as the default tenant. What tenants send through this
product (webhooks, callbacks, their code) is never a local caller, nor is what a proxy forwards.

Host and Origin must be an IP address, localhost or a host that the operator allows. So no foreign web page
can reach the API from a visitor's browser through a host name that resolves to this server.
"""

from typing import Final

from starlette.exceptions import HTTPException

from runwright.automations.ids import DEFAULT_TENANT
from runwright.core.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from runwright.core.roles import Caller, KeyScope, Role
from runwright.http.agh.errors import MovedError
from runwright.http.hosts import is_own_host, is_own_origin
from runwright.http.principal import (
    ROLE,
    TENANT,
    USER,
    admit,
    bearer_token,
    find_key,
    is_local_caller,
    require_single,
    session_headers,
)
from runwright.http.request import Request
from runwright.http.routing import Access
from runwright.http.session_cookie import read_cookie

API_KEY: Final = b"x-api-key"
_SINGLE: Final = (API_KEY, b"authorization", b"host", b"origin", TENANT, USER, ROLE)
_DEFAULTS: Final = {TENANT: DEFAULT_TENANT.encode(), USER: b"platform", ROLE: b"tenant-system-admin"}


class AghAccess(Access):
    """Requires a role, while automation is enabled."""

    async def __call__(self, request: Request) -> Caller:
        check_path(request)
        require_single(request, _SINGLE)
        check_host(request)
        check_origin(request)
        caller = await self._admit(request)
        require_enabled(request)
        return caller

    async def _admit(self, request: Request) -> Caller:
        text = request.headers.get(API_KEY, bearer_token(request.headers))
        keyless = request.edge.settings.keyless and read_cookie(request) is None
        if text is None and keyless and is_local_caller(request):
            return Caller(DEFAULT_TENANT, "anonymous", Role.TENANT_SYSTEM_ADMIN, "none", request.id)
        key = await find_key(request, text or b"")
        if key is None:
            raise UnauthenticatedError("the API key is missing, wrong or revoked")
        headers = request.headers
        if key.tenant_id is None:
            given = {name: value for name, value in headers.items() if value}
            headers = _DEFAULTS | session_headers(request.session) | given
        return admit(request, key, self, headers=headers)


READS: Final = AghAccess(Role.TENANT_VIEWER, KeyScope.READ)
RUNS: Final = AghAccess(Role.TENANT_SYSTEM_ADMIN, KeyScope.RUN)
WRITES: Final = AghAccess(Role.TENANT_SYSTEM_ADMIN, KeyScope.DEPLOY)


async def check_delivery(request: Request) -> None:
    """Refuse deliveries of foreign web pages, and all deliveries while automation is disabled."""
    check_path(request)
    require_single(request, _SINGLE)
    check_origin(request)
    require_enabled(request)


def check_path(request: Request) -> None:
    """Refuse a path with a trailing slash (MovedError), or with NUL (404)."""
    if request.scope.get("raw_path", b"").endswith(b"/"):
        raise MovedError(request)
    if "\0" in request.scope["path"]:
        raise HTTPException(404)


def require_enabled(request: Request) -> None:
    """Raise UnavailableError while automation is disabled."""
    if not request.services.automations.settings.enabled:
        raise UnavailableError("automation is disabled")


def check_host(request: Request) -> None:
    """Refuse a request for a foreign host name. Raises ForbiddenError."""
    if not is_own_host(_host(request), request.edge.settings):
        raise ForbiddenError("host not allowed")


def check_origin(request: Request) -> None:
    """Refuse a request of a foreign web page. Raises ForbiddenError."""
    origin = request.headers.get(b"origin")
    if origin is None:
        return
    if origin.decode("latin-1") in request.edge.settings.cors_origins:
        return
    if not is_own_origin(origin.decode("latin-1"), _host(request), request.edge.settings):
        raise ForbiddenError("origin not allowed")


def _host(request: Request) -> str:
    return request.headers.get(b"host", b"").decode("latin-1")
