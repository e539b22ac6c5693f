"""The route and schemas of runtimes: what this server runs workers on."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runwright.http.ava.authorization import READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.runtimes.host import RuntimeInfo
from runwright.workers.model import RuntimeName


class RuntimeVersionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A release line of a runtime that workers may choose as their `runtime_version`."""

    runtime_version: Annotated[
        str, Meta(description="The release line.", extra_json_schema={"examples": ["3.12"]})
    ]
    version: Annotated[str, Meta(description="The release of it that this server has.")]
    preferred: Annotated[bool, Meta(description="Whether workers that choose none run on it.")]
    end_of_support: Annotated[
        str | None, Meta(description="The last day on which its project publishes fixes for it, if known.")
    ]


class RuntimeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime, as found on the machine of the server that responds, else of an executor that has it."""

    name: RuntimeName
    ready: Annotated[bool, Meta(description="Whether workers of this runtime can be created and run.")]
    version: str | None
    end_of_support: Annotated[
        str | None,
        Meta(
            description="The last day on which its project publishes fixes for this release line; null where"
            " none is published.",
            extra_json_schema={"examples": ["2028-10-31"]},
        ),
    ]
    path: Annotated[
        str | None, Meta(description="The path of the interpreter, which is the same inside a sandbox.")
    ]
    isolation: Annotated[
        Literal["process", "standard", "strict"] | None,
        Meta(description="How its jobs are isolated from each other and from the host."),
    ]
    reason: Annotated[str | None, Meta(description="Why the runtime is not ready.")]
    versions: Annotated[
        list[RuntimeVersionOut],
        Meta(
            description="What workers may choose, the oldest first; empty where there is nothing to choose."
        ),
    ]


def runtime_out(runtime: RuntimeInfo) -> RuntimeOut:
    return to_out(RuntimeOut, runtime, versions=[to_out(RuntimeVersionOut, one) for one in runtime.versions])


ROUTES: Final = Routes(AVA, "/v1/ava/runtimes", tag="Runtimes")


@ROUTES.add("GET", "", READS, "List runtimes", errors=(422,))
async def list_runtimes(request: Request) -> Data[list[RuntimeOut]]:
    """Returns all runtimes, including those that are not ready."""
    runtimes = await request.services.reports.runtimes()
    return Data([runtime_out(runtimes[name.value]) for name in RuntimeName])
