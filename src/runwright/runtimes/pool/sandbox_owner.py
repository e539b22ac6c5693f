"""What a sandbox reports to the pool that owns it."""

from datetime import datetime
from typing import Protocol, TypeVar

from runwright.runtimes.model import AttemptOutcome
from runwright.runtimes.pool.running_job import RunningJob

S_contra = TypeVar("S_contra", contravariant=True)
"""The type of the sandboxes."""


class SandboxOwner(Protocol[S_contra]):
    """Callbacks of a sandbox to the pool that owns it."""

    def sandbox_ready(self, sandbox: S_contra) -> None:
        """Boot is over."""

    def job_started(self, job: RunningJob, at: datetime) -> None:
        """User code begins."""

    def job_ended(self, sandbox: S_contra, job: RunningJob, outcome: AttemptOutcome, micros: int) -> None:
        """A job has its outcome; `micros` is how long its handler took."""

    def sandbox_idle(self, sandbox: S_contra) -> None:
        """No job is in flight any more."""

    def sandbox_unusable(self, sandbox: S_contra, reason: str) -> None:
        """An idle sandbox must be discarded."""

    def sandbox_blocked(self, sandbox: S_contra) -> None:
        """Jobs wait behind one that takes long, or in a sandbox that will be discarded."""

    def sandbox_gone(self, sandbox: S_contra) -> None:
        """The process tree is gone and all outcomes are reported."""
