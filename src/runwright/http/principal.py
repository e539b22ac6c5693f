"""For whom a request is made: an API key and the headers that narrow or assert its tenant, user and role.

A *platform* key asserts tenant, user and role in the headers, and must name all three. A
*tenant* key is bound to one tenant and one highest role: headers are optional there, may
lower the role, and are refused if they claim more. Ids in headers are letters, digits and
`_.-`, at most 128.
"""

import re
from collections.abc import Mapping
from typing import Final

from runwright.core.errors import ForbiddenError, MalformedError, RateLimitedError
from runwright.core.roles import ROLES, Caller, Role
from runwright.http.request import Request
from runwright.http.response import add_response_headers
from runwright.tenants.model import ApiKey

TENANT: Final = b"x-tenant-id"
USER: Final = b"x-user-id"
ROLE: Final = b"x-platform-role"

_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,128}")
_LONGEST_KEY: Final = 512


def client_address(request: Request) -> str | None:
    """Return the address of the last hop, which may be a proxy."""
    client = request.scope["client"]
    return None if client is None else client[0]


async def find_key(request: Request, text: bytes) -> ApiKey | None:
    """Return the API key with this text; None if it is missing, unknown or revoked."""
    text = text.strip()
    if not 0 < len(text) <= _LONGEST_KEY or not text.isascii():
        return None
    return await request.services.keys.authenticate(text.decode("ascii"), client_address(request))


def bearer_token(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the token of `Authorization: Bearer`; empty for another scheme, None without the header."""
    if b"authorization" not in headers:
        return None
    scheme, _, token = headers[b"authorization"].partition(b" ")
    return token if scheme.lower() == b"bearer" else b""


def require_single(request: Request, names: tuple[bytes, ...]) -> None:
    """Raise MalformedError if one of these headers is repeated: it would be unclear which one counts."""
    given: list[tuple[bytes, bytes]] = request.scope["headers"]
    if len(request.headers) == len(given):
        return
    all_names = [name for name, _ in given]
    for name in names:
        if all_names.count(name) > 1:
            raise MalformedError(f"The header {name.decode()} is given more than once.")


def admit(
    request: Request,
    key: ApiKey,
    needed: Role,
    *,
    open_to_operator: bool = False,
    headers: Mapping[bytes, bytes] | None = None,
) -> Caller:
    """Return the caller that a key and headers represent, after charging the tenant's rate limit.

    Calls for a suspended tenant are refused; with `open_to_operator` not those of the operator.
    MalformedError, ForbiddenError, TenantSuspendedError, RateLimitedError.
    """
    headers = request.headers if headers is None else headers
    request.key = key
    if key.tenant_id is None:
        caller = _platform_caller(key, headers, request.id)
    else:
        caller = _tenant_caller(key, key.tenant_id, headers, request.id)
    if not (open_to_operator and caller.sees_all_tenants):
        request.services.tenant_status.require_active(caller.tenant_id)
    _charge_request(request, caller.tenant_id)
    if caller.role < needed:
        message = f"This needs the role {needed.wire_name} or above; the caller has {caller.role.wire_name}."
        raise ForbiddenError(message)
    return caller


def admit_tenant(request: Request, tenant_id: str) -> None:
    """Charge one request to the tenant's rate limit when the caller is authenticated by a signature.

    TenantSuspendedError, RateLimitedError.
    """
    request.services.tenant_status.require_active(tenant_id)
    _charge_request(request, tenant_id)


def _charge_request(request: Request, tenant_id: str) -> None:
    allowance = request.services.limiter.take(tenant_id)
    if allowance is None:
        return
    headers = (
        (b"x-ratelimit-limit", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset", b"%d" % allowance.reset_at),
    )
    add_response_headers(request.scope, headers)
    if allowance.retry_after is not None:
        message = f"The tenant makes too many requests; try again in {allowance.retry_after} s."
        raise RateLimitedError(message, retry_after=allowance.retry_after)


def _platform_caller(key: ApiKey, headers: Mapping[bytes, bytes], request_id: str) -> Caller:
    missing = [name.decode() for name in (TENANT, USER, ROLE) if not headers.get(name)]
    if missing:
        message = f"With a platform key these headers are required too: {', '.join(missing)}."
        raise MalformedError(message)
    role = _role(headers[ROLE])
    if role > key.role:
        raise ForbiddenError(f"This key cannot act as {role.wire_name}.")
    return Caller(_id(headers, TENANT), _id(headers, USER), role, key.id, request_id, by_platform=True)


def _tenant_caller(key: ApiKey, tenant_id: str, headers: Mapping[bytes, bytes], request_id: str) -> Caller:
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
