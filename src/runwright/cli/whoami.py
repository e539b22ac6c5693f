"""`runwright whoami`: the server, the tenant and the role that commands act with."""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from runwright.cli.output import section
from runwright.cli.remote import Remote, reads
from runwright.cli.target import label_of
from runwright.client.errors import ApiError

if TYPE_CHECKING:
    from runwright.client import Runwright

_NOT_FOUND: Final = 404


class Identity(msgspec.Struct, frozen=True):
    """As whom a server answers."""

    tenant: str | None = None
    role: str | None = None
    user: str | None = None
    key: str | None = None
    scopes: list[str] | None = None
    expires_at: str | None = None

    @property
    def text(self) -> str:
        parts = [self.tenant, self.role, self.user]
        return "  ".join(part for part in parts if part) or "the key is accepted"


def ask_identity(client: "Runwright") -> Identity:
    """Return as whom the server answers. A server of before `whoami` only proves that the key is accepted."""
    try:
        answer = client.request("GET /v1/ava/whoami").json
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        client.request("GET /v1/ava/workers", query={"per_page": 1})
        return Identity()
    return _read(answer.get("data", answer))


def _read(data: dict[str, Any]) -> Identity:
    key = data.get("key") or {}
    key_id = key.get("id") if isinstance(key, dict) else key
    return Identity(
        tenant=data.get("tenant_id"),
        role=data.get("role"),
        user=data.get("user_id"),
        key=key_id or data.get("key_id"),
        scopes=data.get("scopes") or (key.get("scopes") if isinstance(key, dict) else None),
        expires_at=data.get("expires_at"),
    )


@reads
def whoami(remote: Remote) -> None:
    """Show the server, the tenant and the role that commands act with.

    Examples:
    $ runwright whoami
    """
    identity = ask_identity(remote.client)
    target = remote.target
    values = {
        "url": target.url,
        "profile": target.profile,
        "tenant": identity.tenant,
        "role": identity.role,
        "user": identity.user,
        "key": identity.key,
        "scopes": identity.scopes,
        "expires_at": identity.expires_at,
        "protected": target.protected,
    }
    shown = {
        name: ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in values.items()
        if value
    }
    remote.output.thing(values, lambda: section(label_of(target), shown))
