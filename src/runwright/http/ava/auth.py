"""Who is calling, and may they: a key in `x-internal-secret` or as a bearer token.

What keys and headers claim is in http/callers.py. A missing or wrong key is 401; a header that is
missing (platform key) or cannot be read is 400; a claim or a role that is not permitted is 403.

Calls of a suspended tenant are refused, whoever makes them. Who else is known spends one of the
tenant's requests, whatever becomes of it, and every answer from here on says in its headers how
many are left; 429 where none is.
"""

from collections.abc import Mapping
from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from runwright.core.errors import ForbiddenError, MalformedError, UnauthenticatedError
from runwright.core.roles import Caller, Role
from runwright.http.callers import ROLE, TENANT, USER, address_of, admit_caller
from runwright.http.guards import Needs
from runwright.http.services import Services, services_of

SECRET: Final = b"x-internal-secret"

_OURS: Final = (SECRET, TENANT, USER, ROLE, b"authorization", b"content-type", b"idempotency-key")
_LONGEST_KEY: Final = 512

AvaRequest = Request[Caller, None, State]


class AvaNeeds(Needs):
    """The guard of AVA's routes. The operator may pass some of them also for a suspended tenant."""

    def __init__(self, role: Role, *, open_to_operator: bool = False, operator_only: bool = False) -> None:
        super().__init__(role)
        self._open_to_operator = open_to_operator or operator_only
        self._operator_only = operator_only

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        scope, services = connection.scope, services_of(connection)
        caller = await admit(
            scope, read_headers(scope), services, self.role, open_to_operator=self._open_to_operator
        )
        if self._operator_only and not caller.sees_all_tenants:
            raise ForbiddenError("This needs a platform key.")
        scope["user"] = caller


READS: Final = AvaNeeds(Role.TENANT_VIEWER)
WRITES: Final = AvaNeeds(Role.TENANT_SYSTEM_ADMIN)
ADMINISTERS: Final = AvaNeeds(Role.TENANT_SYSTEM_ADMIN, open_to_operator=True)
"""Looks after keys and the audit log; the operator after those of all tenants."""
OPERATES: Final = AvaNeeds(Role.PLATFORM_ADMIN, operator_only=True)
"""Looks after the tenants themselves."""


def read_headers(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers by name; one of ours given twice is refused, for which would count."""
    given = list(scope["headers"])
    headers = dict(given)
    if len(headers) != len(given):
        names = [name for name, _ in given]
        for name in _OURS:
            if names.count(name) > 1:
                raise MalformedError(f"The header {name.decode()} is given more than once.")
    return headers


async def admit(
    scope: Scope,
    headers: Mapping[bytes, bytes],
    services: Services,
    needed: Role,
    *,
    open_to_operator: bool = False,
) -> Caller:
    """Return the caller, who has at least the role that is needed and may make one more request."""
    key = await services.keys.authenticate(_key_text(headers), address_of(scope))
    if key is None:
        raise UnauthenticatedError("The API key is missing, wrong or revoked.")
    return admit_caller(scope, key, headers, services, needed, open_to_operator=open_to_operator)


def _key_text(headers: Mapping[bytes, bytes]) -> str:
    secret = headers.get(SECRET)
    if secret is None:
        scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            secret = b""
    secret = secret.strip()
    if not secret or len(secret) > _LONGEST_KEY or not secret.isascii():
        raise UnauthenticatedError("The API key is missing, wrong or revoked.")
    return secret.decode("ascii")
