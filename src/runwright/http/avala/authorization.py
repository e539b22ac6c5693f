"""Authentication by a key in `X-Avala-Api-Key`, and the roles that routes require.

The key determines the organization, which is a tenant. With a person's key `X-User-Id` names who decides
about flagged executions. A missing, wrong or repeated key is 401; an insufficient role is 403; things of
other organizations are 404; too many requests are 429.
"""

from typing import Final

from runwright.core.errors import UnauthenticatedError
from runwright.core.roles import Caller, KeyScope, Role
from runwright.http.principal import ROLE, TENANT, USER, admit, find_key, require_single
from runwright.http.request import Request
from runwright.http.routing import Access

_KEY: Final = b"x-avala-api-key"


class AvalaAccess(Access):
    """Access to a route with a role or above."""

    async def __call__(self, request: Request) -> Caller:
        given = [value for name, value in request.scope["headers"] if name == _KEY]
        key = await find_key(request, given[0] if given else b"") if len(given) <= 1 else None
        if key is None:
            raise UnauthenticatedError("Invalid API key.")
        require_single(request, (TENANT, USER, ROLE))
        return admit(request, key, self)


READS: Final = AvalaAccess(Role.TENANT_VIEWER, KeyScope.READ)
ACTS: Final = AvalaAccess(Role.TENANT_MEMBER, KeyScope.RUN)
"""The work of an agent: leasing executions, deciding them, publishing events."""
REGISTERS: Final = AvalaAccess(Role.TENANT_MEMBER, KeyScope.DEPLOY)
"""An agent that subscribes itself to events."""
DECIDES: Final = AvalaAccess(Role.TENANT_ADMIN, KeyScope.RUN)
"""A person's decision about a flagged execution."""
WRITES: Final = AvalaAccess(Role.TENANT_SYSTEM_ADMIN, KeyScope.DEPLOY)
