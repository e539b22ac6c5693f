"""The route of runtimes: what this server runs workers on."""

from typing import Annotated, Final, Literal

import msgspec
from litestar import Controller, get
from msgspec import Meta

from runwright.http.ava.auth import READS, AvaRequest
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.wire import Data
from runwright.http.operations import Operation
from runwright.http.services import services_of
from runwright.workers.model import RuntimeName

_TAG: Final = "Runtimes"


class RuntimeWire(msgspec.Struct, frozen=True, kw_only=True):
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


class RuntimeRoutes(Controller):
    """What workers run on."""

    path = "/runtimes"

    @get("/", guards=[READS], opt=Operation("List runtimes", tag=_TAG, errors=(422,)).opt)
    async def list_runtimes(self, request: AvaRequest) -> Data[list[RuntimeWire]]:
        """Every runtime that there is, ready or not."""
        NO_QUERY.read_query(request.scope["query_string"])
        found = [services_of(request).runtimes(name.value) for name in RuntimeName]
        return Data([msgspec.convert(info, RuntimeWire, from_attributes=True) for info in found])
