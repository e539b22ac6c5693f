"""How many connections the pools of this process have, and how many of them are in use."""

from collections.abc import Iterator

from runwright.db.pool import Pool
from runwright.telemetry.prometheus import Family, family


class PoolUsage:
    """Knows the pools of a process, by the class of their statements."""

    def __init__(self) -> None:
        self._pools: list[tuple[str, Pool]] = []

    def add(self, statement_class: str, pool: Pool) -> None:
        """Count a pool from now on."""
        self._pools.append((statement_class, pool))

    def families(self) -> Iterator[Family]:
        """Yield the present counts."""
        sums: dict[str, list[int]] = {}
        for name, pool in self._pools:
            size, idle = pool.get_size(), pool.get_idle_size()
            counts = (size - idle, idle, pool.get_max_size())
            sums[name] = [a + b for a, b in zip(sums.get(name, [0, 0, 0]), counts, strict=True)]
        states = [
            ({"class": name, "state": state}, count)
            for name, counts in sums.items()
            for state, count in zip(("in_use", "idle"), counts, strict=False)
        ]
        yield family(
            "database_pool_connections",
            "gauge",
            "Open connections to the database, by the class of their statements.",
            states,
        )
        yield family(
            "database_pool_connections_max",
            "gauge",
            "How many connections there may be at once.",
            [({"class": name}, counts[2]) for name, counts in sums.items()],
        )
