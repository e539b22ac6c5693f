"""Who is calling, and may they: a key in `X-Avala-Api-Key`, and nothing else.

The key decides the organization, which is our tenant. A person's key may say in `X-User-Id` who
decides over what agents have flagged. A missing, wrong or repeated key is 401; a role that does not
suffice is 403; another organization's things are 404; too many requests are 429.
"""

from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from runwright.core.errors import MalformedError, UnauthenticatedError
from runwright.core.roles import Caller, Role
from runwright.http.callers import ROLE, TENANT, USER, address_of, admit_caller
from runwright.http.guards import Needs
from runwright.http.services import Services, services_of

KEY: Final = b"x-avala-api-key"

_ONCE: Final = (TENANT, USER, ROLE)
_LONGEST_KEY: Final = 512

AvalaRequest = Request[Caller, None, State]


class AvalaNeeds(Needs):
    """The guard of Avala's routes."""

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        scope = connection.scope
        scope["user"] = await _admit(scope, services_of(connection), self.role)


READS: Final = AvalaNeeds(Role.TENANT_VIEWER)
ACTS: Final = AvalaNeeds(Role.TENANT_MEMBER)
"""What an agent at work does: take executions, answer them, raise events."""
DECIDES: Final = AvalaNeeds(Role.TENANT_ADMIN)
"""What a person does over an agent's head."""
WRITES: Final = AvalaNeeds(Role.TENANT_SYSTEM_ADMIN)


async def _admit(scope: Scope, services: Services, needed: Role) -> Caller:
    given = [value.strip() for name, value in scope["headers"] if name == KEY]
    if len(given) != 1 or not 0 < len(given[0]) <= _LONGEST_KEY or not given[0].isascii():
        raise UnauthenticatedError("Invalid API key.")
    key = await services.keys.authenticate(given[0].decode("ascii"), address_of(scope))
    if key is None:
        raise UnauthenticatedError("Invalid API key.")
    names = [name for name, _ in scope["headers"]]
    for name in _ONCE:
        if names.count(name) > 1:
            raise MalformedError(f"The header {name.decode()} is given more than once.")
    return admit_caller(scope, key, dict(scope["headers"]), services, needed)
