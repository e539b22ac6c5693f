"""The schemas of API keys."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.roles import ALL_SCOPES, ROLES, KeyScope
from runwright.http.ava.envelopes import PageQuery, Time, When, in_utc
from runwright.http.ava.tenants.schemas import TenantId, Text
from runwright.http.fields import plausible_time, storable_text, to_out
from runwright.http.validation import Problem, Validator
from runwright.tenants.model import ApiKey, KeyCreate

_OVERLAP: Final = 24 * 3600
_LONGEST_OVERLAP: Final = 30 * 24 * 3600

RoleName = Literal["tenant-viewer", "tenant-member", "tenant-admin", "tenant-system-admin", "platform-admin"]


class KeyIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A key to create."""

    openapi_name: ClassVar[str] = "CreateKeyBody"

    role: Annotated[RoleName, Meta(description="The highest role it may take; not above your own.")]
    name: Annotated[Text, Meta(description="The name of the key, for people.")] = ""
    tenant_id: TenantId | UnsetType = UNSET
    scopes: Annotated[
        list[KeyScope],
        Meta(
            description="The scopes of the key; none includes another. Default: all.",
            min_length=1,
            extra_json_schema={"uniqueItems": True},
        ),
    ] = field(default_factory=lambda: sorted(ALL_SCOPES))
    expires_at: Annotated[When | None, Meta(description="When it expires; null: never.")] = None


class RotateIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """How to rotate a key."""

    openapi_name: ClassVar[str] = "RotateKeyBody"

    overlap_seconds: Annotated[
        int, Meta(ge=0, le=_LONGEST_OVERLAP, description="How long the old text is accepted as well.")
    ] = _OVERLAP
    expires_at: (
        Annotated[When | None, Meta(description="When it expires; null: never. Default: unchanged.")]
        | UnsetType
    ) = UNSET


class KeyQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    tenant_id: (
        Annotated[
            TenantId,
            Meta(description="Only keys of this tenant; others than the caller's need a platform key."),
        ]
        | UnsetType
    ) = field(default=UNSET, name="filter[tenant_id]")


class KeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its text."""

    id: Annotated[str, Meta(description="`key_` and a lower-case ULID.")]
    tenant_id: str
    role: RoleName
    name: str
    scopes: list[KeyScope]
    created_at: Time
    expires_at: Time | None
    last_used_at: Annotated[Time | None, Meta(description="When it was last used, to the minute.")]
    revoked_at: Time | None
    previous_until: Annotated[
        Time | None, Meta(description="Until when an earlier text of the key is accepted, after a rotation.")
    ]


class NewKeyOut(KeyOut, frozen=True, kw_only=True):
    """A new key with its text."""

    key: Annotated[str, Meta(description="The text of the key; it is not returned again.")]


def _check_scopes(scopes: list[KeyScope]) -> Iterable[Problem]:
    if len(set(scopes)) < len(scopes):
        yield "", "Must not name a scope twice."


CREATE_KEY: Final = Validator(
    KeyIn, {"name": storable_text, "scopes": _check_scopes, "expires_at": plausible_time}
)
ROTATE_KEY: Final = Validator(RotateIn, {"expires_at": plausible_time})
LIST_KEYS: Final = Validator(KeyQuery)


def key_create(body: KeyIn, tenant_id: str) -> KeyCreate:
    return KeyCreate(
        tenant_id=tenant_id,
        role=ROLES[body.role],
        name=body.name,
        scopes=frozenset(body.scopes),
        expires_at=in_utc(body.expires_at),
    )


def key_out(key: ApiKey) -> KeyOut:
    return to_out(KeyOut, key, role=key.role.wire_name, scopes=sorted(key.scopes))


def new_key_out(key: ApiKey, text: str) -> NewKeyOut:
    return to_out(NewKeyOut, key, role=key.role.wire_name, scopes=sorted(key.scopes), key=text)
