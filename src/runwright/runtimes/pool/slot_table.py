"""Which sandboxes hold the slots of a pool, and of which tenants they are."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from runwright.runtimes.pool.sandbox import Sandbox
from runwright.runtimes.pool.settings import PoolCapacity, PoolSettings
from runwright.runtimes.pool.worker_group import WorkerGroup


class SlotTable:
    """The busy and dying sandboxes, by tenant.

    `settings.slots` of them are for everybody. Beyond those a tenant that holds none may take one, as long
    as there are no more than `settings.newcomer_slots` more in all.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._tenants: dict[Sandbox, str] = {}
        self._by_tenant: Counter[str] = Counter()

    def __contains__(self, sandbox: Sandbox) -> bool:
        return sandbox in self._tenants

    def __iter__(self) -> Iterator[Sandbox]:
        return iter(list(self._tenants))

    def __len__(self) -> int:
        return len(self._tenants)

    @property
    def free(self) -> int:
        """How many slots any tenant may take; below zero where newcomers hold more."""
        return self._settings.slots - len(self._tenants)

    @property
    def newcomers(self) -> int:
        """How many slots, beyond the free ones, tenants may take that hold none."""
        return max(0, self.free + self._settings.newcomer_slots) - max(0, self.free)

    def capacity(self, groups: Iterable[WorkerGroup], waiting: Iterable[WorkerGroup]) -> PoolCapacity:
        """Return how many more jobs may be assigned; `waiting`: the groups whose jobs wait for a slot."""
        fast: dict[str, int] = {}
        for group in groups:
            if spare := group.spare(self._settings):
                fast[group.code.worker_id] = fast.get(group.code.worker_id, 0) + spare
        free = max(0, self.free)
        waits: Counter[str] = Counter()
        for group in waiting:
            waits[group.code.tenant_id] += len(group.waiting)
        if not waits:
            return PoolCapacity(free, fast, self.newcomers, dict(self._by_tenant))
        # Jobs that wait of tenants which hold slots can take free ones only, so they leave newcomers theirs.
        starters = sum(self.holds_none(tenant_id) for tenant_id in waits)
        beyond = min(max(0, waits.total() - free), starters)
        newcomers = max(0, self.newcomers - beyond)
        holding = dict(Counter(self._by_tenant) + waits)
        return PoolCapacity(max(0, free - waits.total()), fast, newcomers, holding)

    def in_turn(self, groups: Mapping[str, WorkerGroup]) -> list[tuple[str, WorkerGroup]]:
        """Return these groups with their keys, those of tenants that hold the fewest slots first."""
        return sorted(groups.items(), key=lambda one: self._by_tenant[one[1].code.tenant_id])

    def holds_none(self, tenant_id: str) -> bool:
        """Return whether a tenant holds no slot."""
        return tenant_id not in self._by_tenant

    def free_for(self, tenant_id: str) -> bool:
        """Return whether this tenant may take a slot."""
        return self.free > 0 or (self.newcomers > 0 and self.holds_none(tenant_id))

    def take(self, sandbox: Sandbox) -> None:
        """Let a sandbox hold a slot, until `release`."""
        if sandbox not in self._tenants:
            tenant_id = sandbox.code.tenant_id if sandbox.code is not None else ""
            self._tenants[sandbox] = tenant_id
            self._by_tenant[tenant_id] += 1

    def release(self, sandbox: Sandbox) -> None:
        """Free the slot of a sandbox, if it holds one."""
        tenant_id = self._tenants.pop(sandbox, None)
        if tenant_id is not None:
            self._by_tenant[tenant_id] -= 1
            if not self._by_tenant[tenant_id]:
                del self._by_tenant[tenant_id]
