"""The settings of the process itself: address, roles, database, logs."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runwright.config.keeping_settings import KeepingSettings
from runwright.config.setting_types import (
    ROLE_NAMES,
    Heading,
    Origin,
    PortOrZero,
    PublicUrl,
    RoleName,
    SecondsOrZero,
    Size,
    about,
    default_data_dir,
)


class ServerSettings(KeepingSettings, frozen=True, kw_only=True):
    """The first section of the settings."""

    host: Annotated[str, Heading("Server"), Meta(min_length=1, description="Address to listen on.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 selects a free one.")] = 8080
    probe_port: Annotated[
        PortOrZero | None,
        about(
            "Port on which a process of any roles answers /livez, /readyz, /healthz and /metrics; 0"
            " selects a free one. Default: none; the role api answers them on port."
        ),
    ] = None
    public_url: Annotated[
        PublicUrl | None,
        about(
            "The URL that clients reach this server at, for links in responses:"
            " https://runwright.example. Default: taken from each request."
        ),
    ] = None
    base_path: Annotated[
        Annotated[str, Meta(pattern=r"^(?:/[A-Za-z0-9._~-]+)*/?$", max_length=255)] | None,
        Meta(
            description="The path below which clients reach this server, such as /runwright, where a proxy"
            " serves it beside others; requests with and without it are accepted. Default: that of"
            " public_url."
        ),
    ] = None
    allowed_hosts: Annotated[
        tuple[str, ...],
        about(
            "Host names that the AGH API and /mcp accept in requests, as host or host:port, in"
            " addition to IP addresses, localhost and public_url; * accepts any."
        ),
    ] = ()
    mcp: Annotated[
        Literal["off", "read", "run", "deploy"],
        about(
            "What language models may do through the MCP server at /mcp, within the role of their"
            " key: read; also run workers and publish events; also deploy code and set schedules."
        ),
    ] = "read"
    mcp_worker_tools: Annotated[
        bool,
        about(
            "Make workers that have a description and an input schema tools of the MCP server, at"
            " most 20 per tenant; needs mcp to be run or deploy."
        ),
    ] = False
    cors_origins: Annotated[
        tuple[Origin, ...],
        Meta(
            max_length=100,
            description="Origins, like https://app.example, whose pages may call the APIs from a browser,"
            " with a key or a token. Sessions are never shared with other origins.",
        ),
    ] = ()
    roles: Annotated[
        tuple[RoleName, ...],
        Meta(min_length=1, description="The roles of this process."),
    ] = ROLE_NAMES
    processes: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=64)],
        about(
            "Number of API processes on one port, and of executors beside them, which share executor_slots:"
            " one supervisor runs them all. 1 for one process with all roles. auto: one process below four"
            " processors, where roles are named, and in development; else 2, or a quarter of the processors."
        ),
    ] = "auto"
    data_dir: Annotated[
        Path,
        about(
            "Directory of the embedded database, the platform key and the vault key. Default:"
            " /var/lib/runwright for root, else $XDG_DATA_HOME/runwright or"
            " ~/.local/share/runwright."
        ),
    ] = msgspec.field(default_factory=default_data_dir)
    database_url: Annotated[
        str | None,
        about("URL of a PostgreSQL database, version 15 or later. Default: an embedded server in data_dir."),
    ] = None
    listen_database_url: Annotated[
        str | None,
        about(
            "URL of the same database without the pooler that database_url leads to, for LISTEN. Default:"
            " database_url; behind a pooler in transaction mode, work then starts up to a second late."
        ),
    ] = None
    migrate: Annotated[
        bool | None,
        about(
            "Migrate an older schema at the start. Default: true for the embedded database; false"
            " for a database_url, where the server refuses to start until the schema has been migrated."
        ),
    ] = None
    shutdown_delay_seconds: Annotated[
        SecondsOrZero,
        about(
            "How long a server with the role api still answers after a signal to stop, while /readyz is 503,"
            " so that a load balancer sends it nothing more before it stops."
        ),
    ] = 0.0
    db_pool_size: Annotated[Size, about("Maximum number of database connections for requests.")] = 8
    dev: Annotated[
        bool,
        about("Development mode: allows http and loopback callback URLs and disables rate limits."),
    ] = False
    demo: Annotated[bool, about("Create a demonstration tenant with example workers at startup.")] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about("Minimum level of log lines.")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], about("Format of log lines: text for people, json for machines.")
    ] = "text"
