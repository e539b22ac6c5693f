"""What the escape test speaks of."""

from enum import StrEnum

import msgspec


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One known attempt. The options are what its function in `programs/` was marked with."""

    name: str
    group: str
    """The file that it is in."""
    function: str
    tries: str
    after: str | None = None
    """The function that another tenant's job runs first."""
    after_ends: tuple[str, ...] = ()
    """Error codes with which that first job may end."""
    same_worker: bool = False
    """The first job is one of the same worker, not another tenant's."""
    same_uid: bool = False
    """The second job waits until the first one's sandbox is gone, so that it gets its uid."""
    secret: bool = False
    """The first job is given a secret."""
    neighbour: bool = False
    """Another tenant's job runs meanwhile."""
    bundle: bool = False
    """The worker has a bundle."""
    check: str | None = None
    """Who decides from outside whether it got out; without one, what the attempt brought back decides."""
    ends: tuple[str, ...] = ()
    """Error codes that stop it as they should."""
    entrypoint: str | None = None
    """How the worker's entrypoint means to leave its folder: dots, absolute, link."""
    network: str | dict[str, list[str]] = "public"
    memory_mb: int = 256
    seconds: float = 6.0
    first_seconds: float = 6.0
    needs: tuple[str, ...] = ()
    """What a host must have for the attempt to mean something there."""
    bare: str | None = None
    """How it must be run to succeed without a sandbox; for the tests."""


class Verdict(StrEnum):
    """What became of an attempt."""

    STOPPED = "stopped"
    ESCAPED = "escaped"
    BROKEN = "broken"
    """The attempt itself failed, so nothing is known."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attempt and what it met."""

    name: str
    group: str
    tries: str
    verdict: Verdict
    by: str
    """What stopped it, as it was observed; or how it got out."""
    milliseconds: int
