"""The schemas of API keys."""

from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.roles import ROLES, Role
from runwright.http.ava.envelopes import PageQuery, Time
from runwright.http.ava.tenants.schemas import TenantId, Text
from runwright.http.fields import format_optional_time, format_time, storable_text
from runwright.http.validation import Validator
from runwright.tenants.model import ApiKey

RoleName = Literal["tenant-viewer", "tenant-member", "tenant-admin", "tenant-system-admin", "platform-admin"]


class KeyIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A key to make."""

    openapi_name: ClassVar[str] = "CreateKeyBody"

    role: Annotated[RoleName, Meta(description="The highest role it may take; not above your own.")]
    name: Annotated[Text, Meta(description="What it is for.")] = ""
    tenant_id: TenantId | UnsetType = UNSET


class KeyQuery(PageQuery, frozen=True, kw_only=True):
    """Which keys to list."""

    tenant_id: (
        Annotated[TenantId, Meta(description="Only this tenant's; a platform key sees others than its own.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[tenant_id]")


class KeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its text."""

    id: Annotated[str, Meta(description="`key_` and a lower-case ULID.")]
    tenant_id: str
    role: RoleName
    name: str
    created_at: Time
    last_used_at: Annotated[Time | None, Meta(description="To the minute.")]
    revoked_at: Time | None


class NewKeyOut(KeyOut, frozen=True, kw_only=True):
    """A new key with its text."""

    key: Annotated[str, Meta(description="The key itself; shown this once.")]


CREATE_KEY: Final = Validator(KeyIn, {"name": storable_text})
LIST_KEYS: Final = Validator(KeyQuery)


def key_role(body: KeyIn) -> Role:
    return ROLES[body.role]


def key_out(key: ApiKey) -> KeyOut:
    return KeyOut(**_key_values(key))


def new_key_out(key: ApiKey, text: str) -> NewKeyOut:
    return NewKeyOut(**_key_values(key), key=text)


def _key_values(key: ApiKey) -> dict[str, Any]:
    assert key.tenant_id is not None  # noqa: S101  the platform key is in no table
    assert key.created_at is not None  # noqa: S101  as above
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "role": key.role.wire_name,
        "name": key.name,
        "created_at": format_time(key.created_at),
        "last_used_at": format_optional_time(key.last_used_at),
        "revoked_at": format_optional_time(key.revoked_at),
    }
