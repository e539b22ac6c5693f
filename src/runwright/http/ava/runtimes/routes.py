"""The route of runtimes: what this server runs workers on."""

from typing import Final

from runwright.http.ava.authorization import READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data
from runwright.http.ava.runtimes.schemas import RuntimeOut, runtime_out
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.workers.model import RuntimeName

ROUTES: Final = Routes(AVA, "/v1/ava/runtimes", tag="Runtimes")


@ROUTES.add("GET", "", READS, "List runtimes", errors=(422,))
async def list_runtimes(request: Request) -> Data[list[RuntimeOut]]:
    """Every runtime that there is, ready or not."""
    return Data([runtime_out(request.services.runtimes(name.value)) for name in RuntimeName])
