"""Which server a command calls: by flags, the environment, the project's file, or a profile, in this order.

A key goes only where it belongs. That of a profile is sent to the profile's address, that of the environment
to the address of a flag, of the environment or of a profile; none to an address that only a project's file
names, unless a profile has it: the file may be someone else's.
"""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from runwright.cli.exits import UsageError
from runwright.cli.project.target import read_target
from runwright.client.environment import KEYS, PROFILE, URL

if TYPE_CHECKING:
    from runwright.client.targets import ServerTarget


class TargetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the flags of a command name."""

    profile: str | None = None
    url: str | None = None
    tenant: str | None = None
    folder: Path = Path()
    """Where a project's file is looked for."""
    environment: str | None = None
    """The `[env.NAME]` of that file."""


def find_target(options: TargetOptions, variables: Mapping[str, str] = os.environ) -> "ServerTarget":
    """Return the server to call, and as whom. SetupError, UsageError."""
    tenant = options.tenant
    if options.profile is not None:
        if options.url is not None:
            raise UsageError("Give either --profile or --url.")
        return _profile_target(options.profile, tenant=tenant, environment=variables)
    if options.url is not None:
        return _at(options.url, tenant, _without(variables, PROFILE))
    if variables.get(PROFILE) or variables.get(URL):
        return _profile_target(tenant=tenant, environment=variables)
    project = read_target(options.folder, options.environment)
    tenant = tenant or project.get("tenant")
    if "url" in project:
        return _at(project["url"], tenant, _without(variables, *KEYS))
    return _profile_target(project.get("profile"), tenant=tenant, environment=variables)


def _profile_target(name: str | None = None, **options: Any) -> "ServerTarget":  # noqa: ANN401  of the SDK
    """Call the SDK, which is loaded now."""
    found: ServerTarget = importlib.import_module("runwright.client.targets").profile_target(name, **options)
    return found


def _at(url: str, tenant: str | None, variables: Mapping[str, str]) -> "ServerTarget":
    return _profile_target(tenant=tenant, environment={**variables, URL: url})


def _without(variables: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in names}


def is_this_machine(url: str) -> bool:
    """Return whether a URL names this machine."""
    return bool(importlib.import_module("runwright.client.urls").is_loopback(url))


def local_address() -> str:
    """Return the address of the server of this machine's data directory."""
    return str(importlib.import_module("runwright.client.targets").local_url())


def label_of(target: "ServerTarget") -> str:
    """Return `profile/tenant` for a target; without a profile the host."""
    name = target.profile or ("local" if is_this_machine(target.url) else urlsplit(target.url).netloc)
    tenant = target.credentials.tenant or target.key_tenant
    return f"{name}/{tenant}" if tenant else name
