"""Which server, and as whom: from arguments, the environment, or a profile, in this order.

A key goes only where it belongs: that of a profile to the profile's address, and that of a data directory to
the port of this machine at which its server listens, as the server has noted there. On other ports may be
programs of other users.
"""

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from runwright.client.environment import DATA_DIR, DEFAULT_URL, KEYS, PROFILE, TENANT, URL
from runwright.client.errors import SetupError
from runwright.client.profiles import Profile, Profiles
from runwright.client.session import Credentials
from runwright.client.urls import check_url, is_loopback

LOCAL_TENANT: Final = "default"

_KEY_FILE: Final = "platform-key"
_ADDRESS_FILE: Final = "api-url"
"""The URL of the server that runs on the data directory; the default one where an earlier release runs."""

_EVERY_ADDRESS: Final = {"//0.0.0.0": "//127.0.0.1", "//[::]": "//[::1]"}
_PORTS: Final = {"http": 80, "https": 443}
_TENANT_KEYS: Final = "rwk_"
"""How the keys of tenants begin; the user and the role of their requests follow from the key."""

_LOCAL_ROLE: Final = "platform-admin"


class ServerTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A server, and as whom to call it."""

    url: str
    credentials: Credentials
    profile: str | None = None
    """The profile that it comes from."""
    protected: bool = False
    key_tenant: str | None = None
    """The tenant of the key, where the profile has it."""


def explicit_target(
    url: str | None, credentials: Credentials, environment: Mapping[str, str] = os.environ
) -> ServerTarget:
    """Return the server of arguments, or of RUNWRIGHT_URL, RUNWRIGHT_API_KEY and RUNWRIGHT_TENANT."""
    address = check_url(url or environment.get(URL) or DEFAULT_URL)
    key = credentials.api_key or key_in(environment)
    tenant = credentials.tenant or environment.get(TENANT) or None
    given = msgspec.structs.replace(credentials, api_key=key, tenant=tenant)
    return ServerTarget(url=address, credentials=given)


def profile_target(
    name: str | None = None,
    *,
    tenant: str | None = None,
    environment: Mapping[str, str] = os.environ,
    profiles: Profiles | None = None,
) -> ServerTarget:
    """Return the server of the profile that is named, or of the environment, or of the current profile.

    A profile that is named has priority over RUNWRIGHT_URL and RUNWRIGHT_API_KEY, which have priority over
    the current one. Without any of them it is the server of this machine's data directory.
    """
    known = profiles or Profiles()
    tenant = tenant or environment.get(TENANT) or None
    chosen = name or environment.get(PROFILE) or None
    if chosen is None and environment.get(URL):
        found = _explicit(tenant, environment)
        return found if found.credentials.api_key else _with_known_key(found, known, tenant, environment)
    chosen = chosen or known.current()
    if chosen is not None:
        return of_profile(chosen, known.get(chosen), tenant=tenant, key=None if name else key_in(environment))
    found = _explicit(tenant, environment, url=local_url(environment))
    return (
        found
        if found.credentials.api_key
        else local_target(found.url, tenant=tenant, environment=environment)
    )


def _explicit(tenant: str | None, environment: Mapping[str, str], url: str | None = None) -> ServerTarget:
    found = explicit_target(url, Credentials(tenant=tenant), environment)
    return msgspec.structs.replace(found, credentials=_completed(found.credentials))


def _completed(credentials: Credentials) -> Credentials:
    """Return credentials with the user and the role that a platform key needs beside a tenant."""
    key = credentials.api_key
    if key is None or key.startswith(_TENANT_KEYS) or credentials.tenant is None:
        return credentials
    return msgspec.structs.replace(
        credentials, user=credentials.user or _user_name(), role=credentials.role or _LOCAL_ROLE
    )


def of_profile(
    name: str, profile: Profile, *, tenant: str | None = None, key: str | None = None
) -> ServerTarget:
    """Return the server of a profile, with another tenant or key where they are given."""
    credentials = Credentials(
        api_key=key or profile.api_key, tenant=tenant or profile.tenant, user=profile.user, role=profile.role
    )
    target = ServerTarget(
        url=check_url(profile.url),
        credentials=_completed(credentials),
        profile=name,
        protected=profile.protected,
        key_tenant=profile.key_tenant if key is None else None,
    )
    if credentials.api_key is None and is_loopback(target.url):
        local = local_target(target.url, tenant=credentials.tenant)
        return msgspec.structs.replace(target, credentials=local.credentials)
    return target


def local_target(
    url: str, *, tenant: str | None = None, environment: Mapping[str, str] = os.environ
) -> ServerTarget:
    """Return a server, called with the platform key of the data directory if that is its own."""
    key = local_key(environment) if is_loopback(url) and _port(url) == _port(local_url(environment)) else None
    if key is None:
        return ServerTarget(url=url, credentials=Credentials(tenant=tenant))
    credentials = Credentials(api_key=key, tenant=tenant or LOCAL_TENANT, user=_user_name(), role=_LOCAL_ROLE)
    return ServerTarget(url=url, credentials=credentials)


def local_url(environment: Mapping[str, str] = os.environ) -> str:
    """Return the address at which this machine reaches the server of the data directory."""
    try:
        recorded = check_url((data_dir(environment) / _ADDRESS_FILE).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError, SetupError):
        return DEFAULT_URL
    for every, own in _EVERY_ADDRESS.items():
        recorded = recorded.replace(every, own, 1)
    return recorded


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or _PORTS.get(parts.scheme)


def local_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the platform key of this machine's server; None where there is none that this user can read."""
    try:
        text = (data_dir(environment) / _KEY_FILE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text or None


def data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the data directory of this user's server."""
    if environment.get(DATA_DIR):
        return Path(environment[DATA_DIR])
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/runwright")
    shared = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(shared) / "runwright"


def key_in(environment: Mapping[str, str]) -> str | None:
    """Return the API key of the environment."""
    return next((environment[name] for name in KEYS if environment.get(name)), None)


def _with_known_key(
    target: ServerTarget, profiles: Profiles, tenant: str | None, environment: Mapping[str, str]
) -> ServerTarget:
    """Return a server with the key of the profile that has its address, or with the local one."""
    for name, profile in profiles.all().items():
        if profile.url.rstrip("/") == target.url:
            return of_profile(name, profile, tenant=tenant)
    return local_target(target.url, tenant=tenant, environment=environment)


def _user_name() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return "local"
    kept = "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter in "_.-"))
    return kept[:128] or "local"
