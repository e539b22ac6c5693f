"""Who may call AVA's routes: a key in `x-internal-secret` or as a bearer token, with their role and scope.

A session's token or cookie takes the place of a key.

A missing or wrong key is 401; a header that is missing (platform key) or malformed is 400; a claim or
a role that is not permitted is 403. Calls for a suspended tenant are refused. Every call of a known
caller is charged to the tenant's rate limit, whatever its outcome; over the limit it is 429.
"""

from typing import Final

from runwright.core.errors import ForbiddenError, UnauthenticatedError
from runwright.core.roles import Caller, KeyScope, Role
from runwright.http.principal import ROLE, TENANT, USER, admit, bearer_token, find_key, require_single
from runwright.http.request import Request
from runwright.http.routing import Access

_SECRET: Final = b"x-internal-secret"
_SINGLE: Final = (_SECRET, TENANT, USER, ROLE, b"authorization", b"content-type", b"idempotency-key")


class AvaAccess(Access):
    """Requires a role and a scope. Some routes the operator may use for suspended tenants, or alone."""

    def __init__(
        self,
        role: Role,
        scope: KeyScope | None,
        *,
        open_to_operator: bool = False,
        operator_only: bool = False,
    ) -> None:
        super().__init__(role, scope)
        self._open_to_operator = open_to_operator or operator_only
        self._operator_only = operator_only

    async def __call__(self, request: Request) -> Caller:
        require_single(request, _SINGLE)
        text = request.headers.get(_SECRET)
        key = await find_key(request, bearer_token(request.headers) or b"" if text is None else text)
        if key is None:
            raise UnauthenticatedError("The API key is missing, wrong or revoked.")
        caller = admit(request, key, self, open_to_operator=self._open_to_operator)
        if self._operator_only and not caller.sees_all_tenants:
            raise ForbiddenError("This needs a platform key.")
        return caller


READS: Final = AvaAccess(Role.TENANT_VIEWER, KeyScope.READ)
RUNS: Final = AvaAccess(Role.TENANT_SYSTEM_ADMIN, KeyScope.RUN)
"""Starts and ends work: jobs, events, firings."""
ANSWERS: Final = AvaAccess(Role.TENANT_ADMIN, KeyScope.RUN)
"""A person's answer to a question."""
WRITES: Final = AvaAccess(Role.TENANT_SYSTEM_ADMIN, KeyScope.DEPLOY)
"""Changes what runs, when, and for whom."""
SIGNS_IN: Final = AvaAccess(Role.TENANT_VIEWER, None, open_to_operator=True)
"""Concerns the caller's own key or session."""
LOOKS_UP: Final = AvaAccess(Role.TENANT_VIEWER, KeyScope.READ, open_to_operator=True)
"""Reads what a tenant sees of itself, and the operator of all tenants."""
ADMINISTERS: Final = AvaAccess(Role.TENANT_SYSTEM_ADMIN, KeyScope.ADMIN, open_to_operator=True)
"""Manages keys and reads the audit log; the operator those of all tenants."""
SHARES: Final = AvaAccess(Role.TENANT_SYSTEM_ADMIN, KeyScope.ADMIN)
"""Shows jobs to people without a key."""
OPERATES: Final = AvaAccess(Role.PLATFORM_ADMIN, KeyScope.ADMIN, operator_only=True)
"""Manages the tenants themselves."""
