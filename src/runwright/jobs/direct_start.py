"""Starting a job in the transaction that accepts it, where an executor of the same process is idle.

It saves the claim. An executor offers it only while it has room and believes that nothing waits
in line, so nobody is overtaken for longer than a lost hint lasts; the statement itself checks the
worker, the lease and that no `max_concurrency` has to be watched.
"""

from collections.abc import Sequence
from typing import Protocol

from runwright.jobs.store.claim import ClaimedJob


class Starter(Protocol):
    """An executor in this process."""

    @property
    def id(self) -> str:
        """Its id now; it changes when a lease is lost."""

    @property
    def runtimes(self) -> Sequence[str]:
        """The runtimes that it offers."""

    def reserve(self, job_id: str, tenant_id: str, worker_id: str) -> bool:
        """Keep room for a job that is about to be accepted; False where there is none.

        Nobody has looked yet whether the worker is there and is the tenant's.
        """

    def release(self, job_id: str) -> None:
        """Give the room back; unknown ids are no error."""

    def begin(self, job: ClaimedJob, executor_id: str) -> None:
        """Run a job that was accepted as running here; ignored where that id is not ours any more."""
