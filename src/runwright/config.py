"""One frozen value with every setting, where each came from, and what it means.

A setting comes from the first of: a flag, `RUNWRIGHT_*` in the environment, the TOML file, the
default. All problems are reported at once, each naming its setting and its source; a name that
nobody knows is a problem too, so that a misspelt setting never goes unnoticed. An empty variable
in the environment counts as absent.

`config.default.toml` beside this module is the documentation of the configuration: it is what
`default_file` writes, and a test holds the two together.
"""

import difflib
import os
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from runwright.core.errors import RunwrightError
from runwright.core.hosts import DEFAULT_PORTS, parse_trusted
from runwright.core.zones import zone_names

PREFIX: Final = "RUNWRIGHT_"
CONFIG_VARIABLE: Final = "RUNWRIGHT_CONFIG"
CLIENT_VARIABLES: Final = ("RUNWRIGHT_URL", "RUNWRIGHT_KEY", "RUNWRIGHT_WEBHOOK_SECRET")
"""What commands read that ask a server; a server that finds them in its environment ignores them."""

_NO_SETTINGS: Final = {CONFIG_VARIABLE, *CLIENT_VARIABLES}
SECRET_SETTINGS: Final = frozenset({"database_url", "platform_key", "vault_key"})

RoleName = Literal["api", "executor", "scheduler", "router", "deliverer"]
ROLE_NAMES: Final[tuple[RoleName, ...]] = get_args(RoleName)

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Size: TypeAlias = Annotated[int, Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=31_536_000)]
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]
Days: TypeAlias = Annotated[float, Meta(gt=0, le=36_500)]
SecondsOrNone: TypeAlias = Annotated[float, Meta(ge=0, le=31_536_000)]


class ConfigError(RunwrightError):
    """The configuration is wrong; the message names every problem."""

    code = "config"


def default_data_dir() -> Path:
    """Return where data goes when nobody says: the system's place for root, else the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/runwright")
    shared = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(shared) / "runwright"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting. `sources` says where each that is not a default came from."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8080
    public_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?$")] | None,
        Meta(
            description="Where users reach this server, for links in answers: https://runwright.example."
            " Default: where the request says that it came to."
        ),
    ] = None
    data_dir: Annotated[
        Path,
        Meta(
            description="Where the embedded database, the platform key and the vault's key are kept. Default:"
            " under root /var/lib/runwright, else $XDG_DATA_HOME/runwright or ~/.local/share/runwright."
        ),
    ] = msgspec.field(default_factory=default_data_dir)
    cache_dir: Annotated[
        Path | None,
        Meta(
            description="Where bundles and what they depend on are unpacked, and uploads pass through."
            " Default: data_dir/cache. It may be lost at any time."
        ),
    ] = None
    cache_limit_bytes: Annotated[
        Size, Meta(description="Unpacked bundles and dependencies above this are removed, oldest use first.")
    ] = 10 * 1024 * 1024 * 1024
    database_url: Annotated[
        str | None,
        Meta(description="A PostgreSQL (15 or later) of your own; without it one is started in data_dir."),
    ] = None
    db_pool_size: Annotated[Size, Meta(description="Database connections for requests.")] = 8
    roles: Annotated[
        tuple[RoleName, ...],
        Meta(min_length=1, description="What this process does."),
    ] = ROLE_NAMES
    platform_key: Annotated[
        Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,512}$")] | None,
        Meta(
            description="The platform key, printable ASCII. Default: made at the first start and kept in"
            " data_dir/platform-key."
        ),
    ] = None
    vault_key: Annotated[
        str | None,
        Meta(
            description="The key that seals secrets: 32 bytes in base64; several, between commas, while one"
            " replaces the other: the first seals, all open. The same on every machine. Default: made at the"
            " first start and kept in data_dir/vault-key."
        ),
    ] = None
    vault_key_file: Annotated[
        Path | None, Meta(description="A file that holds what vault_key would, open to nobody else.")
    ] = None
    vault_key_command: Annotated[
        str | None, Meta(description="A command, run without a shell, that prints what vault_key would.")
    ] = None
    dev: Annotated[
        bool,
        Meta(description="Development mode: http and loopback callback URLs allowed, rate limits off."),
    ] = False
    demo: Annotated[bool, Meta(description="Create a demonstration tenant with a few workers at start.")] = (
        False
    )
    isolation_floor: Annotated[
        Literal["strict", "standard", "process"],
        Meta(description="Run no jobs where the host isolates less well than this."),
    ] = "standard"
    egress: Annotated[
        bool,
        Meta(description="Whether workers can have a network at all; false: none has, whatever it asks."),
    ] = True
    egress_ports: Annotated[
        tuple[Port, ...],
        Meta(max_length=200, description="TCP ports that workers may connect to; port 25 is for you to add."),
    ] = DEFAULT_PORTS
    egress_trusted: Annotated[
        tuple[str, ...],
        Meta(
            max_length=200,
            description="Hosts that workers may reach although their addresses are private: host, host:port,"
            " network/bits, [network/bits]:port.",
        ),
    ] = ()
    executor_slots: Annotated[Size, Meta(description="Jobs that this process runs at once.")] = 8
    lease_seconds: Annotated[
        Seconds, Meta(description="A silent executor loses its jobs after this long.")
    ] = 15.0
    heartbeat_seconds: Annotated[Seconds, Meta(description="How often an executor renews its lease.")] = 3.0
    drain_seconds: Annotated[
        SecondsOrNone, Meta(description="How long a stop waits for running jobs before it hands them back.")
    ] = 30.0
    cancel_grace_seconds: Annotated[
        SecondsOrNone, Meta(description="From SIGTERM to SIGKILL when a job is cancelled.")
    ] = 10.0
    reaper_interval_seconds: Annotated[
        Seconds, Meta(description="How often lost executors are looked for.")
    ] = 2.0
    pool_prebooted_python: Annotated[Count, Meta(description="Sandboxes that wait for python code.")] = 2
    pool_prebooted_nodejs: Annotated[Count, Meta(description="Sandboxes that wait for nodejs code.")] = 1
    pool_prebooted_shell: Annotated[Count, Meta(description="Sandboxes that wait for shell code.")] = 1
    pool_prebooted_deno: Annotated[
        Count, Meta(description="Sandboxes that wait for deno code, once some has run lately.")
    ] = 1
    pool_prebooted_wasm: Annotated[
        Count, Meta(description="Sandboxes that wait for wasm modules, once one has run lately.")
    ] = 1
    pool_idle_seconds: Annotated[
        Seconds, Meta(description="A worker's warm sandbox is given up after this long without a job.")
    ] = 300.0
    pool_max_jobs: Annotated[Size, Meta(description="Jobs that one sandbox runs before it is replaced.")] = (
        10_000
    )
    pool_spared_processors: Annotated[
        Count,
        Meta(
            description="Processors that jobs of over 0.1 s leave to others while jobs of several tenants"
            " run; 0: none. A tenant that is alone has them all."
        ),
    ] = 1
    rate_limit_per_second: Annotated[
        Count,
        Meta(
            description="Requests per second that a tenant may make of one process in the long run; 0: as"
            " many as it likes. Off in development mode."
        ),
    ] = 2000
    rate_limit_burst: Annotated[
        Size, Meta(description="Requests that a tenant may make at once before that rate holds.")
    ] = 60_000
    quota_queued_jobs: Annotated[
        Count, Meta(description="Jobs of a tenant that may wait; 0: as many as it likes.")
    ] = 1_000_000
    quota_running_jobs: Annotated[
        Count,
        Meta(
            description="Jobs of a tenant that run at once, everywhere; 0: as many as there is room for, in"
            " fair turns with the others'."
        ),
    ] = 0
    quota_schedules: Annotated[Count, Meta(description="Schedules of a tenant; 0: as many as it likes.")] = (
        50_000
    )
    quota_stored_bytes: Annotated[
        Count,
        Meta(description="Code of a tenant, all versions of all workers together; 0: as much as it likes."),
    ] = 20 * 1024 * 1024 * 1024
    body_limit_bytes: Annotated[int, Meta(ge=1024, description="Largest request body.")] = 2 * 1024 * 1024
    bundle_limit_bytes: Annotated[int, Meta(ge=1024, description="Largest bundle as it is sent.")] = (
        50 * 1024 * 1024
    )
    bundle_unpacked_bytes: Annotated[Size, Meta(description="Most that a bundle unpacks to.")] = (
        256 * 1024 * 1024
    )
    bundle_files: Annotated[Size, Meta(description="Most files in a bundle.")] = 10_000
    retention_jobs_days: Annotated[
        Days, Meta(description="Ended jobs are kept this long, with their attempts and results.")
    ] = 90.0
    retention_logs_days: Annotated[Days, Meta(description="Logs of ended jobs are kept this long.")] = 30.0
    retention_ticks_days: Annotated[
        Days, Meta(description="What became of a schedule's firings is kept this long.")
    ] = 90.0
    retention_runs_days: Annotated[
        Days, Meta(description="Ended runs of automations are kept this long.")
    ] = 90.0
    retention_events_days: Annotated[
        Days, Meta(description="Events and their deliveries to webhooks are kept this long.")
    ] = 30.0
    retention_audit_days: Annotated[Days, Meta(description="The audit log is kept this long.")] = 365.0
    webhook_trusted: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts that webhooks may be sent to although their addresses are private: host,"
            " host:port, an address or a network, with a port or without."
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names of this server by which browsers and others may call the AGH API, beside"
            " addresses, localhost and public_url: host or host:port; * for any."
        ),
    ] = ()
    automation_file: Annotated[
        Path | None,
        Meta(description="A file that defines automations; read at the start and at SIGHUP."),
    ] = None
    automation_timezone: Annotated[
        str, Meta(description="The time zone of automations' cron expressions that name none.")
    ] = "UTC"
    automation_concurrency: Annotated[
        int, Meta(ge=1, le=10_000, description="Runs of a tenant's automations that are under way at once.")
    ] = 5
    python_path: Annotated[
        str | None, Meta(description="The python that workers run on. Default: the best one on this host.")
    ] = None
    node_path: Annotated[
        str | None, Meta(description="The node that workers run on. Default: the one that comes along.")
    ] = None
    wasm_fuel: Annotated[
        Count,
        Meta(
            description="Instructions, roughly, that a job of a WebAssembly module may run; counting them"
            " makes it about half as fast. 0: no limit, not counted."
        ),
    ] = 0
    module_cache_bytes: Annotated[
        Size, Meta(description="Compiled WebAssembly modules kept on this machine, at most.")
    ] = 256 * 1024 * 1024
    deno_path: Annotated[
        str | None, Meta(description="The deno that workers run on. Default: the one that comes along.")
    ] = None
    bash_path: Annotated[
        str | None, Meta(description="The shell that workers run on. Default: bash, else sh.")
    ] = None
    python_index: Annotated[
        str | None,
        Meta(
            description="The index that python dependencies of bundles come from. Default: what uv or pip"
            " are configured to use, else what uv uses by itself."
        ),
    ] = None
    npm_registry: Annotated[
        str | None,
        Meta(description="The registry that npm packages come from. Default: what npm is configured to use."),
    ] = None
    dependency_hosts: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="Further hosts (host or host:port) that installations may reach, whatever addresses"
            " they have: file stores of an index, a module host for deno."
        ),
    ] = ()
    allow_install_scripts: Annotated[
        bool,
        Meta(
            description="Let packages run code of their own while they are installed (install scripts of"
            " npm, source distributions of python); still inside the sandbox."
        ),
    ] = False
    build_slots: Annotated[
        Size, Meta(description="Installations of dependencies that this process runs at once.")
    ] = 1
    build_timeout_seconds: Annotated[
        Seconds, Meta(description="An installation is killed after this long.")
    ] = 300.0
    build_memory_mb: Annotated[int, Meta(ge=64, description="Memory of an installation.")] = 1024
    build_disk_mb: Annotated[
        int, Meta(ge=16, description="What an installation may write; it is kept in memory.")
    ] = 512
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least serious lines to log.")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Meta(description="Log lines for people or for machines.")
    ] = "text"
    sources: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show no values: some are secrets, and this may end up in a log."""
        return f"Settings(sources={self.sources!r})"


FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings) if field.name != "sources"}


class _Given(msgspec.Struct, frozen=True):
    """One value as somebody wrote it."""

    name: str
    value: object
    source: str


def load_settings(
    flags: Mapping[str, str | bool | None], environment: Mapping[str, str], config_path: Path | None = None
) -> Settings:
    """Return the effective settings; ConfigError names everything that is wrong."""
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


def shown_value(settings: Settings, name: str) -> str:
    """Return a setting's value for people to see; of a secret only whether it is set."""
    value = getattr(settings, name)
    if value is None:
        return "(not set)"
    if name in SECRET_SETTINGS:
        return "(hidden)"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def default_file() -> str:
    """Return the commented file with all defaults; a setting without a fixed one is commented out."""
    lines = ["# Every setting of Runwright with its default. Copy what you change.", ""]
    for name, field in FIELDS.items():
        lines += textwrap.wrap(describe(name), 100, initial_indent="# ", subsequent_indent="# ")
        if field.default in (None, msgspec.NODEFAULT):
            lines += [f"# {name} = ...", ""]
        else:
            lines += [f"{name} = {_toml(field.default)}", ""]
    return "\n".join(lines)


def describe(name: str) -> str:
    """Return what a setting means, in a sentence."""
    return next(
        (item.description for item in reversed(field_metas(name)) if item.description is not None), name
    )


def field_metas(name: str) -> list[Meta]:
    """Return a setting's constraints, innermost first."""
    return [item for item in get_args(FIELDS[name].type) if isinstance(item, Meta)]


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()


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
    """Return which values there are to choose from, where that is so."""
    choice = get_args(FIELDS[name].type)[0]
    if choice is bool:
        return ". Allowed: true, false, 1, 0"
    if name == "roles":
        choice = RoleName
    return f". Allowed: {', '.join(get_args(choice))}" if get_origin(choice) is Literal else ""


def _convert(item: _Given) -> object:
    target, value = FIELDS[item.name].type, item.value
    if isinstance(value, str) and get_origin(get_args(target)[0]) is tuple:
        value = [part.strip() for part in value.split(",")]
    # What comes from a file has types of its own; flags and environment are text.
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
        yield f"{' and '.join(given)} exclude each other: the vault's keys come from one place."
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
            f" ({settings.lease_seconds:g}), or a slow heartbeat loses the lease."
        )


def _url_problem(settings: Settings, name: str) -> str | None:
    """Return what is wrong with a registry's address, without showing it."""
    try:
        parts = urlsplit(getattr(settings, name) or "https://unset")
        bad = parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0
    except ValueError:
        bad = True
    else:
        if parts.username is not None or parts.password is not None:
            return f"{name} carries credentials, which an installation could read: use a mirror without."
    return f"{name} is not an http or https URL." if bad else None
