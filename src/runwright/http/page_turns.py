"""Turns at pages: of each tenant few lists are read at once, and few large pages are in memory.

A page of workers or executions can have 100 MB, which are in memory until the client has taken them. So a
request for a page has a turn from the time that its caller is known until its rows are read; where it is
large, until it is sent. Others of the tenant wait, for a bounded time and in bounded number.
"""

from typing import Final

from runwright.workers.bundles.tenant_turns import TenantTurns

AT_ONCE_PER_TENANT: Final = 4
TURN_SECONDS: Final = 10.0
_AT_ONCE: Final = 100_000
"""Tenants do not wait for each other's clients."""


def page_turns() -> TenantTurns:
    """Return the turns of all tenants."""
    return TenantTurns(
        at_once=_AT_ONCE,
        per_tenant=AT_ONCE_PER_TENANT,
        wait_seconds=TURN_SECONDS,
        message="Too many lists are being read; try again, or ask for smaller pages.",
    )
