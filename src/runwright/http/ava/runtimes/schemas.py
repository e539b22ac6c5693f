"""The schemas of runtimes."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runwright.runtimes.host import RuntimeInfo
from runwright.workers.model import RuntimeName


class RuntimeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime, as the process that answers finds it on its machine."""

    name: RuntimeName
    ready: Annotated[bool, Meta(description="Whether workers of it can be created and run.")]
    version: str | None
    path: Annotated[str | None, Meta(description="Of the interpreter, which jobs see at the same place.")]
    isolation: Annotated[
        Literal["process", "standard", "strict"] | None,
        Meta(description="How well its jobs are kept apart from each other and from the host."),
    ]
    reason: Annotated[str | None, Meta(description="Why it is not ready.")]


def runtime_out(info: RuntimeInfo) -> RuntimeOut:
    return msgspec.convert(info, RuntimeOut, from_attributes=True)
