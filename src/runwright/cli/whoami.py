"""`runwright whoami`: the server, the tenant and the role that commands act with."""

from typing import TYPE_CHECKING, Final

import msgspec

from runwright.cli.output import section
from runwright.cli.remote import Remote, reads
from runwright.cli.target import label_of
from runwright.cli.times import iso
from runwright.client.errors import ApiError

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.system import WhoamiInfo

_NOT_FOUND: Final = 404


class Identity(msgspec.Struct, frozen=True):
    """As whom a server answers."""

    tenant: str | None = None
    role: str | None = None
    user: str | None = None
    key: str | None = None
    scopes: list[str] | None = None
    expires_at: str | None = None
    server: str | None = None

    @property
    def text(self) -> str:
        parts = [self.tenant, self.role, self.user]
        return "  ".join(part for part in parts if part) or "the key is accepted"


def ask_identity(client: "Runwright") -> Identity:
    """Return as whom the server answers. A server of before `whoami` only proves that the key is accepted."""
    try:
        return _read(client.whoami())
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        client.request("GET /v1/ava/workers", query={"per_page": 1})
        return Identity()


def _read(found: "WhoamiInfo") -> Identity:
    key = found.key
    expires_at = getattr(key, "expires_at", None)
    return Identity(
        tenant=found.tenant_id,
        role=found.role,
        user=found.user_id,
        key=key.id,
        scopes=getattr(key, "scopes", None),
        expires_at=None if expires_at is None else iso(expires_at),
        server=found.server_version,
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
        "server": identity.server,
        "protected": target.protected,
    }
    shown = {
        name: ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in values.items()
        if value
    }
    remote.output.thing(values, lambda: section(label_of(target), shown))
