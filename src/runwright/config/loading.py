"""Loads settings from flags, `RUNWRIGHT_*` environment variables, a TOML file and defaults.

Earlier sources override later ones. All problems are reported together, each with its setting and
source; an unknown name is a problem too, so that a misspelt setting is never ignored. Empty
environment variables are ignored.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from runwright.client.environment import CLIENT_ONLY
from runwright.config.setting_types import RoleName
from runwright.config.settings import FIELDS, Settings
from runwright.core.errors import RunwrightError
from runwright.core.hostnames import parse_trusted
from runwright.cron.zones import zone_names

PREFIX: Final = "RUNWRIGHT_"
CONFIG_VARIABLE: Final = "RUNWRIGHT_CONFIG"

_NO_SETTINGS: Final = {CONFIG_VARIABLE, *CLIENT_ONLY}


class ConfigError(RunwrightError):
    """The configuration is invalid; the message lists every problem."""

    code = "config"


class _Given(msgspec.Struct, frozen=True):
    """One value as its source contains it."""

    name: str
    value: object
    source: str


def load_settings(
    flags: Mapping[str, str | bool | None], environment: Mapping[str, str], config_path: Path | None = None
) -> Settings:
    """Return the effective settings. ConfigError lists everything that is invalid."""
    problems: list[str] = []
    path = config_path or (Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    given: dict[str, _Given] = {}
    for source in (_from_file(path), _from_environment(environment), _from_flags(flags)):
        for item in source:
            if item.name in FIELDS:
                given[item.name] = item
            else:
                problems.append(_unknown(item))
    values: dict[str, object] = {}
    for item in given.values():
        try:
            values[item.name] = _convert(item)
        except msgspec.ValidationError as error:
            problems.append(f"{item.name} ({item.source}): {error}{_allowed(item.name)}")
    settings = Settings(**values, sources={item.name: item.source for item in given.values()})  # type: ignore[arg-type]
    problems += _conflicts(settings) if not problems else []
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _from_file(path: Path | None) -> Iterator[_Given]:
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error}") from error
    for name, value in content.items():
        yield _Given(name, value, f"file {path}")


def _from_environment(environment: Mapping[str, str]) -> Iterator[_Given]:
    for variable, value in sorted(environment.items()):
        if variable.startswith(PREFIX) and variable not in _NO_SETTINGS and value != "":
            yield _Given(variable.removeprefix(PREFIX).lower(), value, f"env {variable}")


def _from_flags(flags: Mapping[str, str | bool | None]) -> Iterator[_Given]:
    for name, value in flags.items():
        if value is not None:
            yield _Given(name, value, f"flag --{name.replace('_', '-')}")


def _unknown(item: _Given) -> str:
    close = difflib.get_close_matches(item.name, FIELDS, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{item.name} ({item.source}): There is no such setting.{hint}"


def _allowed(name: str) -> str:
    """Return the allowed values of a setting that has a fixed set of them."""
    choice = get_args(FIELDS[name].type)[0]
    if choice in {bool, bool | None}:
        return ". Allowed: true, false, 1, 0"
    if name == "processes":
        return ". Allowed: auto, 1 to 64"
    if name == "roles":
        choice = RoleName
    return f". Allowed: {', '.join(get_args(choice))}" if get_origin(choice) is Literal else ""


def _convert(item: _Given) -> object:
    target, value = FIELDS[item.name].type, item.value
    if isinstance(value, str) and get_origin(get_args(target)[0]) is tuple:
        value = [part.strip() for part in value.split(",")]
    # Values from a file are typed; those of flags and the environment are text.
    strict = item.source.startswith("file ")
    return msgspec.convert(value, target, strict=strict, dec_hook=_decode_path)


def _decode_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return Path(value).expanduser()
    raise msgspec.ValidationError("Expected a path")


def _conflicts(settings: Settings) -> Iterator[str]:
    sources = ("vault_key", "vault_key_file", "vault_key_command")
    given = [name for name in sources if getattr(settings, name) is not None]
    if len(given) > 1:
        yield f"{' and '.join(given)} exclude each other: set only one of them."
    for name in ("egress_trusted", "webhook_trusted"):
        for entry in getattr(settings, name):
            try:
                parse_trusted(entry)
            except ValueError as error:
                yield f"{name}: {error}."
    if settings.automation_timezone not in zone_names():
        yield f"automation_timezone: there is no time zone {settings.automation_timezone}."
    yield from filter(None, (_url_problem(settings, name) for name in ("python_index", "npm_registry")))
    if settings.heartbeat_seconds * 2 > settings.lease_seconds:
        yield (
            f"heartbeat_seconds ({settings.heartbeat_seconds:g}) must be at most half of lease_seconds"
            f" ({settings.lease_seconds:g}); otherwise a slow heartbeat loses the lease."
        )


def _url_problem(settings: Settings, name: str) -> str | None:
    """Return why a registry's URL is invalid, without the URL itself."""
    try:
        parts = urlsplit(getattr(settings, name) or "https://unset")
        bad = parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0
    except ValueError:
        bad = True
    else:
        if parts.username is not None or parts.password is not None:
            return f"{name} contains credentials, which an installation could read: use a mirror without."
    return f"{name} is not an http or https URL." if bad else None
