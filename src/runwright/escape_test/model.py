"""Attempts of the escape test and their results."""

from enum import StrEnum

import msgspec


class EscapeAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One known attempt, with the options of its function in `programs/`."""

    name: str
    group: str
    """The file that contains it."""
    function: str
    tries: str
    after: str | None = None
    """The function that another tenant's job runs before."""
    after_ends: tuple[str, ...] = ()
    """Error codes with which that first job may end."""
    same_worker: bool = False
    """The first job is of the same worker, instead of another tenant's."""
    same_uid: bool = False
    """The second job waits until the first one's sandbox is gone, so that it gets the same uid."""
    rest_seconds: float = 0.0
    """How long the sandbox of the first job has nothing to do."""
    secret: bool = False
    """The first job has a secret."""
    neighbour: bool = False
    """Another tenant's job runs at the same time."""
    bundle: bool = False
    """The worker has a bundle."""
    check: str | None = None
    """The check from outside that decides whether it escaped; without one, its own result decides."""
    ends: tuple[str, ...] = ()
    """Error codes of a job that was stopped as expected."""
    entrypoint: str | None = None
    """How the worker's entrypoint tries to leave its folder: relative, absolute, link."""
    network: str | dict[str, list[str]] = "public"
    memory_mb: int = 256
    seconds: float = 6.0
    first_seconds: float = 6.0
    needs: tuple[str, ...] = ()
    """What a host needs for the attempt to be meaningful; without a filter, `filter` is not tried."""
    bare: str | None = None
    """How the tests must run it for it to succeed without a sandbox."""


class EscapeVerdict(StrEnum):
    """The outcome of an attempt."""

    STOPPED = "stopped"
    ESCAPED = "escaped"
    BROKEN = "broken"
    """The attempt itself failed, so that nothing is known."""


class EscapeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one attempt."""

    name: str
    group: str
    tries: str
    verdict: EscapeVerdict
    by: str
    """What stopped it, as observed; or how it escaped."""
    milliseconds: int
