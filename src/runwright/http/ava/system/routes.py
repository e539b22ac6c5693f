"""The route of `/v1/system`, which only the operator may call."""

from typing import Final

from runwright.http.ava.authorization import OPERATES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data
from runwright.http.ava.system.schemas import SystemOut, system_out
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/system", tag="System")


@ROUTES.add("GET", "", OPERATES, "Show the state of the server", errors=(422,))
async def show_system(request: Request) -> Data[SystemOut]:
    """Returns versions, isolation, executors, queue, database and disks.

    The probes need no key and show less.
    """
    return Data(system_out(await request.services.reports.system()))
