"""Every setting: its name, what it may be, what it is when nobody says, and what it means."""

import os
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from runwright.core.hostnames import DEFAULT_PORTS

SECRET_SETTINGS: Final = frozenset({"database_url", "platform_key", "vault_key"})

RoleName = Literal["api", "executor", "scheduler", "router", "deliverer"]
ROLE_NAMES: Final[tuple[RoleName, ...]] = get_args(RoleName)

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Size: TypeAlias = Annotated[int, Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=31_536_000)]
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]
Days: TypeAlias = Annotated[float, Meta(gt=0, le=36_500)]
SecondsOrNone: TypeAlias = Annotated[float, Meta(ge=0, le=31_536_000)]


class Heading(msgspec.Struct, frozen=True):
    """Stands at the setting that begins a part of them."""

    text: str


def default_data_dir() -> Path:
    """Return where data goes when nobody says: the system's place for root, else the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/runwright")
    shared = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(shared) / "runwright"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting. `sources` says where each that is not a default came from."""

    host: Annotated[str, Heading("The server"), Meta(min_length=1, description="Address to listen on.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8080
    public_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?$")] | None,
        Meta(
            description="Where users reach this server, for links in answers: https://runwright.example."
            " Default: where the request says that it came to."
        ),
    ] = None
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names of this server by which browsers and others may call the AGH API, beside"
            " addresses, localhost and public_url: host or host:port; * for any."
        ),
    ] = ()
    roles: Annotated[
        tuple[RoleName, ...],
        Meta(min_length=1, description="What this process does."),
    ] = ROLE_NAMES
    data_dir: Annotated[
        Path,
        Meta(
            description="Where the embedded database, the platform key and the vault's key are kept. Default:"
            " under root /var/lib/runwright, else $XDG_DATA_HOME/runwright or ~/.local/share/runwright."
        ),
    ] = msgspec.field(default_factory=default_data_dir)
    database_url: Annotated[
        str | None,
        Meta(description="A PostgreSQL (15 or later) of your own; without it one is started in data_dir."),
    ] = None
    migrate: Annotated[
        bool | None,
        Meta(
            description="Migrate an older schema at the start. Default: true for the embedded database; false"
            " for a database_url, where the server refuses to start until the schema has been migrated."
        ),
    ] = None
    db_pool_size: Annotated[Size, Meta(description="Database connections for requests.")] = 8
    dev: Annotated[
        bool,
        Meta(description="Development mode: http and loopback callback URLs allowed, rate limits off."),
    ] = False
    demo: Annotated[bool, Meta(description="Create a demonstration tenant with a few workers at start.")] = (
        False
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least serious lines to log.")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Meta(description="Log lines for people or for machines.")
    ] = "text"
    platform_key: Annotated[
        Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,512}$")] | None,
        Heading("Keys"),
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
    rate_limit_per_second: Annotated[
        Count,
        Heading("Tenants"),
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
    executor_slots: Annotated[
        Size, Heading("Executors"), Meta(description="Jobs that this process runs at once.")
    ] = 8
    lease_seconds: Annotated[
        Seconds, Meta(description="A silent executor loses its jobs after this long.")
    ] = 15.0
    heartbeat_seconds: Annotated[Seconds, Meta(description="How often an executor renews its lease.")] = 3.0
    reaper_interval_seconds: Annotated[
        Seconds, Meta(description="How often lost executors are looked for.")
    ] = 2.0
    drain_seconds: Annotated[
        SecondsOrNone, Meta(description="How long a stop waits for running jobs before it hands them back.")
    ] = 30.0
    cancel_grace_seconds: Annotated[
        SecondsOrNone, Meta(description="From SIGTERM to SIGKILL when a job is cancelled.")
    ] = 10.0
    isolation_floor: Annotated[
        Literal["strict", "standard", "process"],
        Heading("Sandboxes"),
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
            description="CpuAffinity that jobs of over 0.1 s leave to others while jobs of several tenants"
            " run; 0: none. A tenant that is alone has them all."
        ),
    ] = 1
    python_path: Annotated[
        str | None,
        Heading("Runtimes"),
        Meta(description="The python that workers run on. Default: the best one on this host."),
    ] = None
    node_path: Annotated[
        str | None, Meta(description="The node that workers run on. Default: the one that comes along.")
    ] = None
    deno_path: Annotated[
        str | None, Meta(description="The deno that workers run on. Default: the one that comes along.")
    ] = None
    bash_path: Annotated[
        str | None, Meta(description="The shell that workers run on. Default: bash, else sh.")
    ] = None
    wasm_fuel: Annotated[
        Count,
        Meta(
            description="Instructions, roughly, that a job of a WebAssembly module may run; counting them"
            " makes it about half as fast. 0: no limit, not counted."
        ),
    ] = 0
    bundle_limit_bytes: Annotated[
        int, Heading("Bundles"), Meta(ge=1024, description="Largest bundle as it is sent.")
    ] = 50 * 1024 * 1024
    bundle_unpacked_bytes: Annotated[Size, Meta(description="Most that a bundle unpacks to.")] = (
        256 * 1024 * 1024
    )
    bundle_files: Annotated[Size, Meta(description="Most files in a bundle.")] = 10_000
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
    module_cache_bytes: Annotated[
        Size, Meta(description="Compiled WebAssembly modules kept on this machine, at most.")
    ] = 256 * 1024 * 1024
    python_index: Annotated[
        str | None,
        Heading("Dependencies of bundles"),
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
    webhook_trusted: Annotated[
        tuple[str, ...],
        Heading("Webhooks"),
        Meta(
            description="Hosts that webhooks may be sent to although their addresses are private: host,"
            " host:port, an address or a network, with a port or without."
        ),
    ] = ()
    automation_file: Annotated[
        Path | None,
        Heading("Automations"),
        Meta(description="A file that defines automations; read at the start and at SIGHUP."),
    ] = None
    automation_timezone: Annotated[
        str, Meta(description="The time zone of automations' cron expressions that name none.")
    ] = "UTC"
    automation_concurrency: Annotated[
        int, Meta(ge=1, le=10_000, description="Runs of a tenant's automations that are under way at once.")
    ] = 5
    retention_jobs_days: Annotated[
        Days,
        Heading("How long things are kept"),
        Meta(description="Ended jobs are kept this long, with their attempts and results."),
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
    sources: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show no values: some are secrets, and this may end up in a log."""
        return f"Settings(sources={self.sources!r})"


FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings) if field.name != "sources"}
