"""Who is calling, and may they.

A *platform* key asserts tenant, user and role in the headers, and must name all three. A
*tenant* key is bound to one tenant and one highest role: headers are optional there, may
lower the role, and are refused where they claim more.

A missing or wrong key is 401; a header that is missing (platform key) or cannot be read is
400; a claim or a role that is not permitted is 403. Ids in headers are letters, digits and
`_.-`, at most 128.

Who is known spends one of the tenant's requests, whatever becomes of it, and every answer from
here on says in its headers how many are left; 429 where none is.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from runwright.core.errors import ForbiddenError, MalformedError, RateLimitedError, UnauthenticatedError
from runwright.core.roles import ROLES, Caller, Role
from runwright.http.answer import keep_answer_headers
from runwright.http.guards import Needs
from runwright.http.request_id import request_id_of
from runwright.http.services import Services, services_of
from runwright.tenants.limits import RateLimiter
from runwright.tenants.model import Key

SECRET: Final = b"x-internal-secret"
TENANT: Final = b"x-tenant-id"
USER: Final = b"x-user-id"
ROLE: Final = b"x-platform-role"

_OURS: Final = (SECRET, TENANT, USER, ROLE, b"authorization", b"content-type", b"idempotency-key")
_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,128}")
_LONGEST_KEY: Final = 512

AvaRequest = Request[Caller, None, State]


class AvaNeeds(Needs):
    """The guard of AVA's routes."""

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        scope = connection.scope
        scope["user"] = await admit(scope, read_headers(scope), services_of(connection), self.role)


READS: Final = AvaNeeds(Role.TENANT_VIEWER)
WRITES: Final = AvaNeeds(Role.TENANT_SYSTEM_ADMIN)
ADMINISTERS: Final = AvaNeeds(Role.TENANT_SYSTEM_ADMIN)
"""Reads what only those see who may also write: keys, the audit log."""


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


async def admit(scope: Scope, headers: Mapping[bytes, bytes], services: Services, needed: Role) -> Caller:
    """Return the caller, who has at least the role that is needed and may make one more request."""
    key = await services.keys.authenticate(_key_text(headers))
    if key is None:
        raise UnauthenticatedError("The API key is missing, wrong or revoked.")
    request_id = request_id_of(scope)
    if key.tenant_id is None:
        caller = _platform_caller(key, headers, request_id)
    else:
        caller = _tenant_caller(key, headers, request_id)
    _spend_request(scope, caller.tenant_id, services.limiter)
    if caller.role < needed:
        message = f"This needs the role {needed.wire_name} or above; the caller has {caller.role.wire_name}."
        raise ForbiddenError(message)
    return caller


def _spend_request(scope: Scope, tenant_id: str, limiter: RateLimiter) -> None:
    allowance = limiter.take(tenant_id)
    if allowance is None:
        return
    headers = (
        (b"x-ratelimit-limit", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset", b"%d" % allowance.reset_at),
    )
    keep_answer_headers(scope, headers)
    if allowance.retry_after is not None:
        message = f"The tenant makes too many requests; try again in {allowance.retry_after} s."
        raise RateLimitedError(message, retry_after=allowance.retry_after)


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


def _platform_caller(key: Key, headers: Mapping[bytes, bytes], request_id: str) -> Caller:
    missing = [name.decode() for name in (TENANT, USER, ROLE) if not headers.get(name)]
    if missing:
        message = f"A platform key says for whom it calls; missing headers: {', '.join(missing)}."
        raise MalformedError(message)
    role = _role(headers[ROLE])
    if role > key.role:
        raise ForbiddenError(f"This key cannot act as {role.wire_name}.")
    return Caller(_id(headers, TENANT), _id(headers, USER), role, key.id, request_id, by_platform=True)


def _tenant_caller(key: Key, headers: Mapping[bytes, bytes], request_id: str) -> Caller:
    tenant_id = key.tenant_id or ""
    if headers.get(TENANT) and _id(headers, TENANT) != tenant_id:
        raise ForbiddenError("This key belongs to another tenant.")
    role = _role(headers[ROLE]) if headers.get(ROLE) else key.role
    if role > key.role:
        raise ForbiddenError(f"This key cannot act as {role.wire_name}.")
    user_id = _id(headers, USER) if headers.get(USER) else key.id
    return Caller(tenant_id, user_id, role, key.id, request_id)


def _id(headers: Mapping[bytes, bytes], name: bytes) -> str:
    value = headers[name]
    if not _ID.fullmatch(value):
        raise MalformedError(f"The header {name.decode()} must be 1 to 128 letters, digits, '_', '.' or '-'.")
    return value.decode("ascii")


def _role(value: bytes) -> Role:
    role = ROLES.get(value.decode("latin-1"))
    if role is None:
        raise MalformedError(f"The header {ROLE.decode()} must be one of: {', '.join(ROLES)}.")
    return role
