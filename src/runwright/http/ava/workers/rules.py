"""Rules for the fields of a worker that types cannot express."""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from runwright.core.json_depth import DEPTH_LIMIT, nests_too_deeply
from runwright.core.schema_rules import JsonSchemaError, measure_schema
from runwright.http.fields import storable_text
from runwright.http.validation import Problem

NAME_LIMIT: Final = 200
DESCRIPTION_LIMIT: Final = 2_000
ENTRYPOINT_LIMIT: Final = 255
SOURCE_LIMIT: Final = 1024 * 1024
CONFIG_KEYS: Final = 100
_CONFIG_LIMIT: Final = 64 * 1024
SECRETS: Final = 50
_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST: Final = rf"^{_LABEL}(\.{_LABEL}){{0,20}}$"
_LONGEST_HOST: Final = 253
ENV_NAME: Final = "^[A-Za-z_][A-Za-z0-9_]{0,127}$"

_IS_ENV_NAME: Final = re.compile(ENV_NAME.rstrip("$") + r"\Z")
_IS_HOST: Final = re.compile(HOST.rstrip("$") + r"\Z")
_HOLDS_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_RESERVED: Final = re.compile(
    r"(?:PATH|HOME|ENV|IFS|SHELL|USER|LOGNAME|PWD|OLDPWD|TMPDIR|TEMP|TMP|LOCPATH|NLSPATH|HOSTALIASES|RES_OPTIONS"
    r"|SHELLOPTS|BASHOPTS|PS4|PROMPT_COMMAND|CDPATH|GLOBIGNORE|OPENSSL_CONF|SSLKEYLOGFILE"
    r"|(?:LD|DYLD|PYTHON|NODE|DENO|WASMTIME|AVA|RUNWRIGHT|BASH|GCONV|GLIBC|MALLOC)(?:_.*)?|PYTHON.*|BASH_.*)"
)


def check_name(name: str) -> Iterable[Problem]:
    if not 1 <= len(name.strip()) <= NAME_LIMIT:
        yield "", f"Must have 1 to {NAME_LIMIT} characters."
    yield from storable_text(name)


def check_entrypoint(path: str) -> Iterable[Problem]:
    parts = path.split("/")
    if "\\" in path or any(part in {"", ".", ".."} for part in parts):
        yield "", "Must be a relative path with forward slashes, without empty, '.' or '..' parts."
    if any(ord(character) < ord(" ") for character in path):
        yield "", "Must not hold control characters."


def check_source(source: str) -> Iterable[Problem]:
    if len(source) > SOURCE_LIMIT or len(source.encode()) > SOURCE_LIMIT:
        yield "", f"Must have at most {SOURCE_LIMIT} bytes; deploy a bundle for more."
    yield from storable_text(source)


def check_env_name(name: str) -> str | None:
    """Return the problem with the name of an environment variable of a worker, or None."""
    if not _IS_ENV_NAME.match(name):
        return "Must be a name of letters, digits and '_' (at most 128), not beginning with a digit."
    if _RESERVED.fullmatch(name):
        return "Is a reserved name."
    return None


def check_config(config: dict[str, Any]) -> Iterable[Problem]:
    if len(config) > CONFIG_KEYS:
        yield "", f"Must have at most {CONFIG_KEYS} keys."
        return
    encoded = msgspec.json.encode(config)
    if len(encoded) > _CONFIG_LIMIT:
        yield "", f"Must have at most {_CONFIG_LIMIT} bytes as JSON."
    if nests_too_deeply(encoded):
        yield "", f"Must not be nested more than {DEPTH_LIMIT} levels deep."
    for key, value in config.items():
        if problem := check_env_name(key):
            yield key[:NAME_LIMIT], problem
        if _HOLDS_NUL.search(msgspec.json.encode(value)):
            yield key[:NAME_LIMIT], "Must not hold the character NUL."


def check_secrets(names: list[str]) -> Iterable[Problem]:
    if len(names) > SECRETS:
        yield "", f"Must have at most {SECRETS} names."
        return
    if len(set(names)) < len(names):
        yield "", "Must not name a secret twice."
    for index, name in enumerate(names):
        if problem := check_env_name(name):
            yield str(index), problem


def check_input_schema(schema: dict[str, Any]) -> Iterable[Problem]:
    """Check what can be seen without compiling it, which the service does."""
    if _HOLDS_NUL.search(msgspec.json.encode(schema)):
        yield "", "Must not hold the character NUL."
        return
    try:
        measure_schema(schema)
    except JsonSchemaError as error:
        yield error.path, error.message


def check_hosts(hosts: list[str]) -> Iterable[Problem]:
    for index, host in enumerate(hosts):
        if len(host) > _LONGEST_HOST or not _IS_HOST.match(host):
            yield f"allow.{index}", "Must be a host name."
