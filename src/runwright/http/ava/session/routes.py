"""The routes of sessions, at `/v1/session`, and of read tokens, at `/v1/tokens`."""

from typing import Final

from runwright.core.errors import ForbiddenError, NotFoundError
from runwright.http.ava.authorization import READS, SIGNS_IN
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data
from runwright.http.ava.session.schemas import (
    CREATE_TOKEN,
    OPEN_SESSION,
    REDEEM_LINK,
    LinkOut,
    RedeemIn,
    SessionIn,
    SessionOut,
    TokenIn,
    TokenOut,
    session_out,
    token_out,
)
from runwright.http.fields import format_time
from runwright.http.principal import client_address, is_local_caller
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes
from runwright.http.session_cookie import (
    check_own_page,
    expired_cookie,
    own_address,
    read_cookie,
    session_cookie,
)
from runwright.tenants.model import KeySession, SessionKind
from runwright.tenants.sessions import LINK_SECONDS

ROUTES: Final = Routes(AVA, "/v1/session", tag="Keys")
TOKEN_ROUTES: Final = Routes(AVA, "/v1/tokens", tag="Keys")

_CREATED: Final = 201
_NO_CONTENT: Final = 204


@ROUTES.add(
    "POST", "", SIGNS_IN, "Open a session", body=SessionIn, errors=(422,), example={"ttl_seconds": 3600}
)
async def open_session(request: Request) -> Reply[Data[SessionOut]]:
    """Sign a browser in: the answer sets a cookie that takes the place of the key.

    It is for the tenant, user and role of this request. Pages of other origins cannot use it, and writes
    need the `csrf_token`. The session ends with the key.
    """
    _require_key(request)
    body = await request.body(OPEN_SESSION)
    session, text = await request.services.sessions.open(
        request.caller,
        SessionKind.SESSION,
        seconds=body.ttl_seconds,
        key_expires_at=request.key.expires_at,
    )
    return _signed_in(request, session, text)


@ROUTES.add("GET", "", SIGNS_IN, "Show the session", errors=(404, 422))
async def show_session(request: Request) -> Data[SessionOut]:
    """With its CSRF token, which a page needs after it was loaded again."""
    session, text = _session_of(request)
    return Data(session_out(session, request.services.sessions.csrf_token(text)))


@ROUTES.add("DELETE", "", SIGNS_IN, "End the session", errors=(404, 422))
async def end_session(request: Request) -> Reply[None]:
    """Sign the browser out: the session is refused everywhere within two seconds."""
    session, _ = _session_of(request)
    await request.services.sessions.end(request.caller, session)
    return Reply(None, _NO_CONTENT, {"set-cookie": expired_cookie(request)})


@ROUTES.add("POST", "/links", SIGNS_IN, "Make a sign-in link", errors=(422,))
async def create_link(request: Request) -> Data[LinkOut]:
    """For the tenant, user and role of this request: it works once, for five minutes.

    The operator makes links from anywhere, other keys only on the server's own machine.
    """
    _require_key(request)
    if not (request.caller.sees_all_tenants or is_local_caller(request)):
        raise ForbiddenError("Links are made by the operator, or on the machine of the server.")
    link, text = await request.services.sessions.open(
        request.caller,
        SessionKind.LINK,
        seconds=LINK_SECONDS,
        key_expires_at=request.key.expires_at,
    )
    # The fragment of a URL is not sent to servers, so it is in no log.
    url = f"{own_address(request)}/sign-in#token={text}"
    return Data(LinkOut(url=url, token=text, expires_at=format_time(link.expires_at)))


async def _check_page(request: Request) -> None:
    check_own_page(request)


@ROUTES.add(
    "POST",
    "/redeem",
    None,
    "Sign in with a link",
    body=RedeemIn,
    errors=(422,),
    precondition=_check_page,
    example={"token": "rwl_…"},
)
async def redeem_link(request: Request) -> Reply[Data[SessionOut]]:
    """Spend a sign-in link: the answer sets the cookie of a session, as opening one does."""
    body = await request.body(REDEEM_LINK)
    session, text = await request.services.sessions.redeem(
        body.token, client_address(request), request_id=request.id
    )
    return _signed_in(request, session, text)


@TOKEN_ROUTES.add(
    "POST", "", READS, "Make a read token", body=TokenIn, errors=(422,), example={"ttl_seconds": 300}
)
async def create_token(request: Request) -> Data[TokenOut]:
    """A key for a short time that only reads, as `tenant-viewer`: for pages that call the API themselves."""
    _require_key(request)
    body = await request.body(CREATE_TOKEN)
    session, text = await request.services.sessions.open(
        request.caller,
        SessionKind.TOKEN,
        seconds=body.ttl_seconds,
        key_expires_at=request.key.expires_at,
    )
    return Data(token_out(session, text))


def _require_key(request: Request) -> None:
    """Refuse what was derived from a key itself: it could prolong itself for ever."""
    if request.session is not None:
        raise ForbiddenError("This needs a key; the request was made in a session.")


def _session_of(request: Request) -> tuple[KeySession, str]:
    text = read_cookie(request)
    if request.session is None or request.session.kind is not SessionKind.SESSION or text is None:
        raise NotFoundError("The request was made with a key, and not in a session.")
    return request.session, text


def _signed_in(request: Request, session: KeySession, text: str) -> Reply[Data[SessionOut]]:
    shown = session_out(session, request.services.sessions.csrf_token(text))
    cookie = session_cookie(request, session, text, request.services.clock())
    return Reply(Data(shown), _CREATED, {"set-cookie": cookie})
