"""The schemas of sessions, sign-in links and read tokens."""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from runwright.core.roles import KeyScope
from runwright.http.ava.envelopes import Time
from runwright.http.ava.keys.schemas import RoleName
from runwright.http.fields import to_out
from runwright.http.session_cookie import CSRF_HEADER
from runwright.http.validation import Validator
from runwright.tenants.model import KeySession
from runwright.tenants.sessions import (
    LONGEST_SESSION_SECONDS,
    LONGEST_TOKEN_SECONDS,
    SESSION_SECONDS,
    TOKEN_SECONDS,
)

_SHORTEST: Final = 10


class SessionIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A session to open."""

    openapi_name: ClassVar[str] = "OpenSessionBody"

    ttl_seconds: Annotated[
        int, Meta(ge=_SHORTEST, le=LONGEST_SESSION_SECONDS, description="For how long at most.")
    ] = SESSION_SECONDS


class RedeemIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A sign-in link to spend."""

    openapi_name: ClassVar[str] = "RedeemLinkBody"

    token: Annotated[str, Meta(max_length=100, description="The token of the link, after `#token=`.")]


class TokenIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A read token to make."""

    openapi_name: ClassVar[str] = "CreateTokenBody"

    ttl_seconds: Annotated[int, Meta(ge=_SHORTEST, le=LONGEST_TOKEN_SECONDS, description="For how long.")] = (
        TOKEN_SECONDS
    )


class SessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """The session of a browser."""

    id: Annotated[str, Meta(description="`ses_` and a lower-case ULID.")]
    tenant_id: Annotated[str, Meta(description="The tenant of requests without `x-tenant-id`.")]
    user_id: str
    role: Annotated[RoleName, Meta(description="The highest role of requests in it.")]
    scopes: list[KeyScope]
    key_id: Annotated[str, Meta(description="The key that it was opened with, and ends with.")]
    created_at: Time
    expires_at: Time
    csrf_token: Annotated[str, Meta(description=f"To be sent as `{CSRF_HEADER}` with every write.")]


class LinkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A link that signs a browser in, once."""

    url: Annotated[str, Meta(description="To be opened in a browser; its page spends the token.")]
    token: str
    expires_at: Time


class TokenOut(msgspec.Struct, frozen=True, kw_only=True):
    """A read token."""

    token: Annotated[str, Meta(description="To be sent in place of a key; shown this once.")]
    tenant_id: str
    role: RoleName
    scopes: list[KeyScope]
    expires_at: Time


OPEN_SESSION: Final = Validator(SessionIn)
REDEEM_LINK: Final = Validator(RedeemIn)
CREATE_TOKEN: Final = Validator(TokenIn)


def session_out(session: KeySession, csrf_token: str) -> SessionOut:
    return to_out(
        SessionOut,
        session,
        role=session.role.wire_name,
        scopes=sorted(session.scopes),
        csrf_token=csrf_token,
    )


def token_out(session: KeySession, text: str) -> TokenOut:
    return to_out(TokenOut, session, role=session.role.wire_name, scopes=sorted(session.scopes), token=text)
