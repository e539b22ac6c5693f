"""Requests that wait for the end of a job, and what becomes of them when the server stops."""

import asyncio

from runwright.jobs.model import Job
from runwright.jobs.service import Jobs


class Waits:
    """Lets requests wait; a server that stops answers them with the job as it is."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._under_way: set[asyncio.Timeout] = set()
        self._over = False

    async def until_ended(self, tenant_id: str, job_id: str, seconds: float) -> Job:
        """Return the job when it has ended, or as it is after `seconds` or when the server stops."""
        limit = asyncio.timeout(0 if self._over else None)
        try:
            async with limit:
                self._under_way.add(limit)
                return await self._jobs.wait(tenant_id, job_id, seconds)
        except TimeoutError:
            if not limit.expired():
                raise
            return await self._jobs.get(tenant_id, job_id)
        finally:
            self._under_way.discard(limit)

    def end(self) -> None:
        """Let nobody wait any more."""
        self._over = True
        now = asyncio.get_running_loop().time()
        for limit in self._under_way:
            limit.reschedule(now)
