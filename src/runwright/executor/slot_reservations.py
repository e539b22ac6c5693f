"""Who holds an executor's capacity beside its pool, and what each tenant has used of it lately."""

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Final, Protocol

from runwright.runtimes.pool.settings import PoolCapacity

HALF_LIFE_SECONDS: Final = 10.0
_NEGLIGIBLE: Final = 0.5


class SlotUser(Protocol):
    """A job that holds capacity which the pool does not know of yet: a submission, a claimed attempt."""

    @property
    def tenant_id(self) -> str: ...

    @property
    def worker_id(self) -> str: ...


def without(capacity: PoolCapacity, users: Collection[SlotUser]) -> PoolCapacity:
    """Return the capacity that these jobs leave."""
    if not users:
        return capacity
    workers = Counter(one.worker_id for one in users)
    fast = {worker: max(0, n - workers[worker]) for worker, n in capacity.fast.items()}
    beyond = sum(max(0, n - capacity.fast.get(worker, 0)) for worker, n in workers.items())
    free = max(0, capacity.free - beyond)
    newcomers = max(0, capacity.newcomers - (beyond - (capacity.free - free)))
    holding = dict(Counter(capacity.holding) + Counter(one.tenant_id for one in users))
    return PoolCapacity(free, fast, newcomers, holding)


class SlotReservations:
    """Capacity that is reserved for jobs which a submit of this process may start at once."""

    def __init__(self) -> None:
        self._users: dict[str, SlotUser] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._users

    def job_ids(self) -> set[str]:
        """Return the jobs that capacity is reserved for."""
        return set(self._users)

    def reserve(self, *, job_id: str, user: SlotUser, capacity: PoolCapacity) -> bool:
        """Reserve a slot for a job; False where none is left for its worker and tenant."""
        left = self.left_of(capacity)
        newcomers = left.newcomers if user.tenant_id not in left.holding else 0
        if left.free + newcomers <= 0 and left.fast.get(user.worker_id, 0) <= 0:
            return False
        self._users[job_id] = user
        return True

    def release(self, job_id: str) -> None:
        """End the reservation of a job; unknown ids are ignored."""
        self._users.pop(job_id, None)

    def left_of(self, capacity: PoolCapacity) -> PoolCapacity:
        """Return the capacity less what is reserved."""
        return without(capacity, self._users.values())


class TenantUsage:
    """Jobs begun per tenant, with a half-life of `HALF_LIFE_SECONDS`; makes the tenants' turns fair."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        self._decayed_at = 0.0

    def count(self, tenant_id: str) -> None:
        """Count a job that begins."""
        self._used[tenant_id] = self._used.get(tenant_id, 0.0) + 1

    def by_tenant(self) -> dict[str, float]:
        """Return the recent usage of each tenant."""
        now = asyncio.get_running_loop().time()
        elapsed = now - self._decayed_at
        if elapsed > 1.0:
            self._decayed_at = now
            decay = 0.5 ** (elapsed / HALF_LIFE_SECONDS)
            decayed = {tenant: used * decay for tenant, used in self._used.items()}
            self._used = {tenant: used for tenant, used in decayed.items() if used > _NEGLIGIBLE}
        return self._used
