"""For whom a key calls, and in which role.

A *platform* key asserts tenant, user and role in the headers, and must name all three. A
*tenant* key is bound to one tenant and one highest role: headers are optional there, may
lower the role, and are refused where they claim more. Ids in headers are letters, digits and
`_.-`, at most 128.
"""

import re
from collections.abc import Mapping
from typing import Final

from litestar.types import Scope

from runwright.core.errors import ForbiddenError, MalformedError, RateLimitedError
from runwright.core.roles import ROLES, Caller, Role
from runwright.http.answer import keep_answer_headers
from runwright.http.request_id import request_id_of
from runwright.http.services import Services
from runwright.tenants.model import ApiKey
from runwright.tenants.rate_limits import RateLimiter

TENANT: Final = b"x-tenant-id"
USER: Final = b"x-user-id"
ROLE: Final = b"x-platform-role"

_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,128}")


def address_of(scope: Scope) -> str | None:
    """Return where a request came from: the last hop, which may be a proxy."""
    client = scope["client"]
    return None if client is None else client[0]


def admit_caller(
    scope: Scope,
    key: ApiKey,
    headers: Mapping[bytes, bytes],
    services: Services,
    needed: Role,
    *,
    open_to_operator: bool = False,
) -> Caller:
    """Return whom a key and the headers beside it stand for: with the role that is needed and a request left.

    A suspended tenant's calls are refused, whoever makes them; but for the operator's where that is
    said. MalformedError, ForbiddenError, TenantSuspendedError, RateLimitedError.
    """
    request_id = request_id_of(scope)
    if key.tenant_id is None:
        caller = _platform_caller(key, headers, request_id)
    else:
        caller = _tenant_caller(key, headers, request_id)
    if not (open_to_operator and caller.sees_all_tenants):
        services.tenant_status.require_active(caller.tenant_id)
    _spend_request(scope, caller.tenant_id, services.limiter)
    if caller.role < needed:
        message = f"This needs the role {needed.wire_name} or above; the caller has {caller.role.wire_name}."
        raise ForbiddenError(message)
    return caller


def admit_tenant(scope: Scope, tenant_id: str, services: Services) -> None:
    """Take a request off a tenant's rate for whom it is not a key that speaks.

    TenantSuspendedError, RateLimitedError.
    """
    services.tenant_status.require_active(tenant_id)
    _spend_request(scope, tenant_id, services.limiter)


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


def _platform_caller(key: ApiKey, headers: Mapping[bytes, bytes], request_id: str) -> Caller:
    missing = [name.decode() for name in (TENANT, USER, ROLE) if not headers.get(name)]
    if missing:
        message = f"A platform key says for whom it calls; missing headers: {', '.join(missing)}."
        raise MalformedError(message)
    role = _role(headers[ROLE])
    if role > key.role:
        raise ForbiddenError(f"This key cannot act as {role.wire_name}.")
    return Caller(_id(headers, TENANT), _id(headers, USER), role, key.id, request_id, by_platform=True)


def _tenant_caller(key: ApiKey, headers: Mapping[bytes, bytes], request_id: str) -> Caller:
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
