"""Every setting: its name, its type, its default and its description."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runwright.config.keeping_settings import KeepingSettings
from runwright.config.server_settings import ServerSettings
from runwright.config.setting_types import (
    Count,
    Heading,
    KeyText,
    Port,
    Seconds,
    SecondsOrZero,
    Size,
    about,
)
from runwright.core.hostnames import DEFAULT_PORTS

SECRET_SETTINGS: Final = frozenset({"database_url", "listen_database_url", "platform_key", "vault_key"})


class Settings(ServerSettings, frozen=True, kw_only=True):
    """All settings. `sources` names the source of each that is not the default."""

    platform_key: Annotated[
        KeyText | None,
        Heading("Keys"),
        about(
            "The platform key, in printable ASCII. Default: generated at the first start and"
            " stored in data_dir/platform-key."
        ),
    ] = None
    vault_key: Annotated[
        str | None,
        about(
            "The key that encrypts secrets: 32 bytes in base64, the same on every machine. To"
            " rotate keys, separate several with commas: the first encrypts, all decrypt. Default:"
            " generated at the first start and stored in data_dir/vault-key."
        ),
    ] = None
    vault_key_file: Annotated[
        Path | None,
        about("A file with the value of vault_key; only its owner may have access to it."),
    ] = None
    vault_key_command: Annotated[
        str | None,
        about("A command that prints the value of vault_key; it is run without a shell."),
    ] = None
    rate_limit_per_second: Annotated[
        Count,
        Heading("Tenants"),
        about(
            "Requests per second that each tenant may make on average to one process; 0 disables"
            " the limit, as does development mode."
        ),
    ] = 2000
    rate_limit_burst: Annotated[
        Size,
        about("Requests that a tenant may make at once before rate_limit_per_second applies."),
    ] = 60_000
    quota_queued_jobs: Annotated[
        Count, about("Maximum number of queued jobs of a tenant; 0 for no limit.")
    ] = 1_000_000
    quota_running_jobs: Annotated[
        Count,
        about(
            "Maximum number of jobs of a tenant that run at once, on all executors together; 0"
            " for no limit (tenants share the slots fairly)."
        ),
    ] = 0
    quota_schedules: Annotated[Count, about("Maximum number of schedules of a tenant; 0 for no limit.")] = (
        50_000
    )
    quota_stored_bytes: Annotated[
        Count,
        about("Maximum size of a tenant's code, for all versions of all workers together; 0 for no limit."),
    ] = 20 * 1024 * 1024 * 1024
    body_limit_bytes: Annotated[int, Meta(ge=1024, description="Maximum size of a request body.")] = (
        2 * 1024 * 1024
    )
    http_connections: Annotated[
        Count,
        about(
            "Maximum number of open connections to the API; above it the one that has been idle"
            " longest is closed. 0 for a quarter of the open files that the process may have (ulimit -n);"
            " at most half of them."
        ),
    ] = 0
    http_connections_per_address: Annotated[
        Count,
        about(
            "The same for one address, or for one /64 network of IPv6; 0 for half of all"
            " connections. Behind a proxy all connections have the proxy's address."
        ),
    ] = 0
    executor_slots: Annotated[
        Size | None,
        Heading("Executors"),
        about(
            "Maximum number of jobs that this process runs at once, not counting"
            " executor_newcomer_slots. Default: four for each processor, as far as a quarter of the memory"
            " has room for sandboxes of 320 MB, and at least 2."
        ),
    ] = None
    executor_newcomer_slots: Annotated[
        Count | None,
        about(
            "Jobs that this process runs at once beyond executor_slots, each of a tenant that has"
            " no other job in this process: so many tenants need not wait for the jobs of others. Default:"
            " 32, as far as a half of the memory has room for sandboxes of 320 MB, and at least 4."
        ),
    ] = None
    lease_seconds: Annotated[
        Seconds, about("An executor that has not renewed its lease for this long loses its jobs.")
    ] = 15.0
    heartbeat_seconds: Annotated[Seconds, about("Interval at which an executor renews its lease.")] = 3.0
    reaper_interval_seconds: Annotated[
        Seconds, about("Interval of the check for executors whose lease has expired.")
    ] = 2.0
    drain_seconds: Annotated[
        SecondsOrZero,
        about("How long a server that stops waits for running jobs before it returns them to the queue."),
    ] = 30.0
    cancel_grace_seconds: Annotated[
        SecondsOrZero, about("Time between SIGTERM and SIGKILL when a job is cancelled.")
    ] = 10.0
    isolation_floor: Annotated[
        Literal["strict", "standard", "process"],
        Heading("Sandboxes"),
        about("Minimum isolation level; no jobs run on a host that does not reach it."),
    ] = "standard"
    egress: Annotated[
        bool,
        about("Allow workers to use the network. If false, no worker can, whatever its definition requests."),
    ] = True
    egress_ports: Annotated[
        tuple[Port, ...],
        Meta(
            max_length=200,
            description="TCP ports that workers may connect to. Port 25 is not among the defaults.",
        ),
    ] = DEFAULT_PORTS
    egress_trusted: Annotated[
        tuple[str, ...],
        Meta(
            max_length=200,
            description="Hosts with private addresses that workers may connect to: host, host:port,"
            " network/bits or [network/bits]:port.",
        ),
    ] = ()
    pool_prebooted_python: Annotated[
        Count, about("Number of idle sandboxes that are ready for python code, if workers have some.")
    ] = 2
    pool_prebooted_nodejs: Annotated[
        Count, about("Number of idle sandboxes that are ready for nodejs code, if workers have some.")
    ] = 1
    pool_prebooted_shell: Annotated[
        Count, about("Number of idle sandboxes that are ready for shell code, if workers have some.")
    ] = 1
    pool_prebooted_deno: Annotated[
        Count, about("Number of idle sandboxes that are ready for deno code, if workers have some.")
    ] = 1
    pool_prebooted_wasm: Annotated[
        Count,
        about("Number of idle sandboxes that are ready for wasm modules, if workers have some."),
    ] = 1
    pool_idle_seconds: Annotated[
        Seconds, about("A worker's warm sandbox is stopped after this long without a job.")
    ] = 300.0
    pool_max_jobs: Annotated[Size, about("Number of jobs that a sandbox runs before it is replaced.")] = (
        10_000
    )
    pool_spared_processors: Annotated[
        Count,
        about(
            "Processors that jobs longer than 0.1 s do not use while jobs of several tenants run;"
            " 0 for none. The jobs of a single tenant use all processors."
        ),
    ] = 1
    python_path: Annotated[
        str | None,
        Heading("Runtimes"),
        about("Path of the python that workers run on. Default: the most suitable one on this host."),
    ] = None
    node_path: Annotated[
        str | None, about("Path of the node that workers run on. Default: the bundled one.")
    ] = None
    deno_path: Annotated[
        str | None, about("Path of the deno that workers run on. Default: the bundled one.")
    ] = None
    bash_path: Annotated[
        str | None, about("Path of the shell that workers run on. Default: bash, else sh.")
    ] = None
    runtime_versions: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(nodejs|deno)@[1-9][0-9]{0,2}$")], ...],
        about("Versions to install at the start, for workers to choose: nodejs@22, nodejs@24, deno@1."),
    ] = ()
    wasm_fuel: Annotated[
        Count,
        about(
            "Approximate number of instructions that a job of a WebAssembly module may execute;"
            " counting them halves its speed. 0 disables the limit and the counting."
        ),
    ] = 0
    bundle_limit_bytes: Annotated[
        int, Heading("Bundles"), Meta(ge=1024, description="Maximum size of an uploaded bundle.")
    ] = 50 * 1024 * 1024
    bundle_unpacked_bytes: Annotated[Size, about("Maximum unpacked size of a bundle.")] = 256 * 1024 * 1024
    bundle_files: Annotated[Size, about("Maximum number of files in a bundle.")] = 10_000
    import_check: Annotated[
        bool, about("Whether the code of a bundle is imported in a sandbox before it serves.")
    ] = True
    cache_dir: Annotated[
        Path | None,
        about(
            "Directory of unpacked bundles and dependencies, and of uploads in progress; its"
            " contents may be deleted at any time. Default: data_dir/cache."
        ),
    ] = None
    cache_limit_bytes: Annotated[
        Size,
        about(
            "Maximum size of unpacked bundles and dependencies; the least recently used are removed first."
        ),
    ] = 10 * 1024 * 1024 * 1024
    module_cache_bytes: Annotated[
        Size,
        about("Maximum size of compiled WebAssembly modules that are cached on this machine."),
    ] = 256 * 1024 * 1024
    python_index: Annotated[
        str | None,
        Heading("Dependencies"),
        about(
            "Package index for the python dependencies of bundles. Default: the one that uv or"
            " pip is configured to use, else the default of uv."
        ),
    ] = None
    npm_registry: Annotated[
        str | None,
        about("Registry for npm packages. Default: the one that npm is configured to use."),
    ] = None
    dependency_hosts: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        about(
            "Further hosts (host or host:port) that installations may connect to, at any address:"
            " file stores of an index, a module host for deno."
        ),
    ] = ()
    allow_install_scripts: Annotated[
        bool,
        about(
            "Allow packages to run code during installation (npm install scripts, python source"
            " distributions), inside the sandbox."
        ),
    ] = False
    build_slots: Annotated[
        Size, about("Maximum number of dependency installations that this process runs at once.")
    ] = 1
    build_timeout_seconds: Annotated[Seconds, about("Timeout of an installation.")] = 300.0
    build_memory_mb: Annotated[int, Meta(ge=64, description="Memory limit of an installation.")] = 1024
    build_disk_mb: Annotated[
        int, Meta(ge=16, description="Disk space limit of an installation; it is allocated in memory.")
    ] = 512
    webhook_trusted: Annotated[
        tuple[str, ...],
        Heading("Webhooks"),
        about(
            "Hosts with private addresses that webhooks may be sent to: host, host:port, or an"
            " address or network with or without a port."
        ),
    ] = ()
    automation_file: Annotated[
        Path | None,
        Heading("Automations"),
        about("File that defines automations; loaded at startup and on SIGHUP."),
    ] = None
    automation_timezone: Annotated[
        str, about("Time zone of cron expressions in automations that do not name one.")
    ] = "UTC"
    automation_concurrency: Annotated[
        int,
        Meta(
            ge=1, le=10_000, description="Maximum number of a tenant's automation runs in progress at once."
        ),
    ] = 5
    sources: dict[str, str] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        """Omit the values: some are secrets, and this may be logged."""
        return f"Settings(sources={self.sources!r})"


_INHERITED: Final = KeepingSettings.__struct_fields__
FIELDS: Final = {
    field.name: field
    for field in sorted(msgspec.structs.fields(Settings), key=lambda one: one.name in _INHERITED)
    if field.name != "sources"
}
"""All settings in the order of the documentation."""
