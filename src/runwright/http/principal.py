"""For whom a request is made: an API key and the headers that narrow or assert its tenant, user and role.

A *platform* key asserts tenant, user and role in the headers, and must name all three. A
*tenant* key is bound to one tenant and one highest role: headers are optional there, may
lower the role, and are refused if they claim more. Ids in headers are letters, digits and
`_.-`, at most 128.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from runwright.core.addresses import plain
from runwright.core.errors import ForbiddenError, MalformedError, RateLimitedError
from runwright.core.own_connections import OUTGOING_AGENT, is_own_source
from runwright.core.roles import ROLES, Caller, Role
from runwright.http.request import Request
from runwright.http.response import add_response_headers
from runwright.http.routing import Access
from runwright.http.session_cookie import check_csrf, check_own_page, read_cookie
from runwright.tenants.model import ApiKey, KeySession, SessionKind, is_session_text

TENANT: Final = b"x-tenant-id"
USER: Final = b"x-user-id"
ROLE: Final = b"x-platform-role"

_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,128}")
_LONGEST_KEY: Final = 512
_FORWARDED: Final = frozenset({b"forwarded", b"via", b"x-real-ip"}) | {
    b"x-forwarded-" + part for part in (b"for", b"host", b"proto", b"server", b"port")
}
"""Headers of proxies: the caller behind one may be anybody."""
_OUTGOING: Final = (b"user-agent", OUTGOING_AGENT.encode())


def client_address(request: Request) -> str | None:
    """Return the address of the last hop, which may be a proxy."""
    client = request.scope["client"]
    return None if client is None else client[0]


async def find_key(request: Request, sent: bytes) -> ApiKey | None:
    """Return the API key with this text, or one that may do what a session may do.

    A session is found by its token in place of a key, or, where no key was sent, by its cookie. None if
    there is none, or it is unknown or has ended. ForbiddenError for a cookie without what belongs to it.
    """
    sent = sent.strip()
    if not sent:
        return await _find_by_cookie(request)
    if len(sent) > _LONGEST_KEY or not sent.isascii():
        return None
    text = sent.decode("ascii")
    if is_session_text(SessionKind.TOKEN, text):
        return await _find_session(request, SessionKind.TOKEN, text)
    request.key_text = text
    return await request.services.keys.authenticate(text, client_address(request))


async def _find_by_cookie(request: Request) -> ApiKey | None:
    text = read_cookie(request)
    key = None if text is None else await _find_session(request, SessionKind.SESSION, text)
    if key is not None and text is not None:
        check_own_page(request)
        check_csrf(request, text)
    return key


async def _find_session(request: Request, kind: SessionKind, text: str) -> ApiKey | None:
    session = await request.services.sessions.authenticate(kind, text, client_address(request))
    request.session = session
    return None if session is None else session.as_key()


def session_headers(session: KeySession | None) -> dict[bytes, bytes]:
    """Return the headers that a request in a session has unless it sends them itself."""
    if session is None:
        return {}
    return {
        TENANT: session.tenant_id.encode(),
        USER: session.user_id.encode(),
        ROLE: session.role.wire_name.encode(),
    }


def is_local_caller(request: Request) -> bool:
    """Return whether the caller is a user of this machine, and no request of a tenant or a proxy."""
    client = request.scope["client"]
    if client is None:
        return False
    address = plain(ip_address(client[0]))
    if not address.is_loopback or is_own_source(address, client[1]):
        return False
    given: list[tuple[bytes, bytes]] = request.scope["headers"]
    return not any(name in _FORWARDED or (name, value) == _OUTGOING for name, value in given)


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
    access: Access,
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
    if request.session is not None:
        headers = _headers_in_session(request.session, headers)
    if key.tenant_id is None:
        caller = _platform_caller(key, headers, request_id=request.id)
    else:
        caller = _tenant_caller(key, key.tenant_id, headers, request_id=request.id)
    if not (open_to_operator and caller.sees_all_tenants):
        request.services.tenancy.status.require_active(caller.tenant_id)
    _charge_request(request, caller.tenant_id)
    if caller.role < access.role:
        message = (
            f"This needs the role {access.role.wire_name} or above; the caller has {caller.role.wire_name}."
        )
        raise ForbiddenError(message)
    if access.scope is not None and access.scope not in key.scopes:
        message = (
            f"This needs a key with the scope {access.scope}; this one has {', '.join(sorted(key.scopes))}."
        )
        raise ForbiddenError(message)
    return caller


def admit_tenant(request: Request, tenant_id: str) -> None:
    """Charge one request to the tenant's rate limit when the caller is authenticated by a signature.

    TenantSuspendedError, RateLimitedError.
    """
    request.caller_is_known()
    request.services.tenancy.status.require_active(tenant_id)
    _charge_request(request, tenant_id)


def _charge_request(request: Request, tenant_id: str) -> None:
    allowance = request.services.tenancy.limiter.take(tenant_id)
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


def _platform_caller(key: ApiKey, headers: Mapping[bytes, bytes], *, request_id: str) -> Caller:
    missing = [name.decode() for name in (TENANT, USER, ROLE) if not headers.get(name)]
    if missing:
        message = f"With a platform key these headers are required too: {', '.join(missing)}."
        raise MalformedError(message)
    role = _role(headers[ROLE])
    if role > key.role:
        raise ForbiddenError(f"This key cannot act as {role.wire_name}.")
    tenant_id, user_id = _id(headers, TENANT), _id(headers, USER)
    return Caller(tenant_id, user_id, role, key.id, request_id, by_platform=True, scopes=key.scopes)


def _tenant_caller(key: ApiKey, tenant_id: str, headers: Mapping[bytes, bytes], *, request_id: str) -> Caller:
    if headers.get(TENANT) and _id(headers, TENANT) != tenant_id:
        raise ForbiddenError("This key belongs to another tenant.")
    role = _role(headers[ROLE]) if headers.get(ROLE) else key.role
    if role > key.role:
        raise ForbiddenError(f"This key cannot act as {role.wire_name}.")
    user_id = _id(headers, USER) if headers.get(USER) else key.id
    return Caller(tenant_id, user_id, role, key.id, request_id, scopes=key.scopes)


def _headers_in_session(session: KeySession, given: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    headers = session_headers(session) | {name: value for name, value in given.items() if value}
    if headers[USER] != session.user_id.encode():
        raise ForbiddenError("This session belongs to another user.")
    return headers


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
