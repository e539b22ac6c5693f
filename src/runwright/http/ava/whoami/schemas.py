"""The schemas of the caller of a request."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runwright import __version__
from runwright.core.roles import Caller, KeyScope
from runwright.http.ava.envelopes import Time
from runwright.http.ava.keys.schemas import RoleName
from runwright.http.fields import to_out
from runwright.tenants.model import ApiKey, KeySession


class CallerKeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """The key of the request, without its text."""

    id: Annotated[str, Meta(description="`platform` for the platform key.")]
    name: str
    role: Annotated[RoleName, Meta(description="The highest role that it may take.")]
    scopes: Annotated[list[KeyScope], Meta(description="The scopes of the key.")]
    created_at: Annotated[Time | None, Meta(description="null for the platform key.")]
    expires_at: Annotated[Time | None, Meta(description="null: never.")]


class CallerSessionOut(msgspec.Struct, frozen=True):
    """The session of the request; `kind` is `session` for a cookie, `token` for a read token."""

    id: str
    kind: Literal["session", "token"]
    expires_at: Time


class WhoamiOut(msgspec.Struct, frozen=True, kw_only=True):
    """The caller of a request."""

    tenant_id: str
    user_id: Annotated[str, Meta(description="The user of the headers, else the key's id.")]
    role: Annotated[RoleName, Meta(description="The role of this request, which may be below the key's.")]
    operator: Annotated[bool, Meta(description="Whether the caller may manage all tenants.")]
    key: CallerKeyOut
    session: Annotated[CallerSessionOut | None, Meta(description="null: the request was made with the key.")]
    server_version: str


def key_out(key: ApiKey) -> CallerKeyOut:
    """Return the key of the request."""
    return to_out(CallerKeyOut, key, role=key.role.wire_name, scopes=sorted(key.scopes))


def whoami_out(caller: Caller, key: ApiKey, session: KeySession | None) -> WhoamiOut:
    """Return the caller of a request as the API shows it."""
    return to_out(
        WhoamiOut,
        caller,
        role=caller.role.wire_name,
        operator=caller.sees_all_tenants,
        key=key_out(key),
        session=None if session is None else to_out(CallerSessionOut, session),
        server_version=__version__,
    )
