"""Which runtimes an installation has: those of this host, and those of its executors elsewhere."""

from collections.abc import Iterable

import msgspec

from runwright.db.pool import Database
from runwright.leases.store import ExecutorRecord, live_executors
from runwright.runtimes.host import Host, RuntimeInfo, RuntimeVersion
from runwright.runtimes.support import end_of_support


class RuntimeReporter(msgspec.Struct, frozen=True):
    """Reports the runtimes."""

    db: Database
    host: Host

    async def report(self) -> dict[str, RuntimeInfo]:
        """Return all runtimes by their names. Asks the database only where this host lacks one."""
        runtimes = self.host.runtimes
        if all(one.ready for one in runtimes.values()):
            return runtimes
        executors = await live_executors(self.db)
        return {name: one if one.ready else _elsewhere(one, executors) for name, one in runtimes.items()}


def _elsewhere(runtime: RuntimeInfo, executors: Iterable[ExecutorRecord]) -> RuntimeInfo:
    """Return a runtime that this host lacks as live executors have it; unchanged where none does."""
    offering = [one for one in executors if runtime.name in one.runtimes]
    if not offering:
        return runtime
    names = {name for one in offering for name in one.runtimes if name.startswith(f"{runtime.name}@")}
    lines = sorted((name.partition("@")[2] for name in names), key=lambda line: [*map(int, line.split("."))])
    versions = [
        RuntimeVersion(
            runtime_version=line,
            version=line,
            preferred=len(lines) == 1,
            end_of_support=end_of_support(runtime.name, line),
        )
        for line in lines
    ]
    return RuntimeInfo(
        name=runtime.name, ready=True, isolation=offering[0].isolation, versions=tuple(versions)
    )
