"""The route of `/v1/ava/whoami`: whom a request is made for, and with which key."""

from typing import Final

from runwright.http.ava.authorization import SIGNS_IN
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data
from runwright.http.ava.whoami.schemas import WhoamiOut, whoami_out
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/ava/whoami", tag="Keys")


@ROUTES.add("GET", "", SIGNS_IN, "Show the caller", errors=(422,))
async def show_caller(request: Request) -> Data[WhoamiOut]:
    """Returns the tenant, user and role that result from the headers and the key."""
    return Data(whoami_out(request.caller, request.key, request.session))
