"""What a model may do: the grant of the operator, within the role of the key."""

from enum import IntEnum

import msgspec

from runwright.client import ApiError, AsyncRunwright


class Grant(IntEnum):
    """What tools may do; each includes those before it. It is set on the server, never by a client."""

    READ = 0
    RUN = 1
    """Start, repeat and cancel jobs, publish events."""
    DEPLOY = 2
    """Change code and schedules."""

    @classmethod
    def of(cls, name: str) -> "Grant":
        """Return the grant of a setting: `read`, `run` or `deploy`."""
        return cls[name.upper()]


class ToolPolicy(msgspec.Struct, frozen=True):
    """Which tools the operator allows."""

    grant: Grant = Grant.READ
    worker_tools: bool = False
    """Whether workers are tools of their own, where the grant allows to run them."""

    @property
    def runs_worker_tools(self) -> bool:
        """Whether there are such tools."""
        return self.worker_tools and self.grant >= Grant.RUN


async def usable_grant(api: AsyncRunwright, granted: Grant) -> Grant:
    """Return what of a grant the role and the scopes of the caller's key allow."""
    if granted is Grant.READ:
        return granted
    try:
        caller = await api.whoami()
    except ApiError:  # what is not allowed is refused when it is called
        return granted
    if caller.role == _READER:
        return Grant.READ
    scopes = caller.key.scopes
    if scopes is None or _DEPLOY in scopes:
        return granted
    return min(granted, Grant.RUN if _RUN in scopes else Grant.READ)


_READER, _RUN, _DEPLOY = "tenant-viewer", "run", "deploy"
