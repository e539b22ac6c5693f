"""Settings of the embedded PostgreSQL: durable, small, and reachable through one socket only.

They are passed on its command line, so that a newer Runwright can change them without touching the
cluster. Other settings can be set in the cluster's own `postgresql.conf`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

MAX_CONNECTIONS: Final = 50

SETTINGS: Final = {
    # Only the owner of the socket's folder can connect.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # A confirmed commit is on disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "max_wal_size": "1GB",
    "min_wal_size": "80MB",
    "wal_buffers": "8MB",
    "checkpoint_timeout": "10min",
    # Small: few processes, little memory, no parallel queries.
    "shared_buffers": "48MB",
    "maintenance_work_mem": "32MB",
    "effective_cache_size": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "io_method": "sync",
    "huge_pages": "off",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "4",
    "max_replication_slots": "4",
    # The queue table is small and busy.
    "autovacuum": "on",
    "autovacuum_naptime": "10s",
    "autovacuum_max_workers": "2",
    # Only the server's own events: failing statements are reported to callers, and may contain tenants' data.
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def command_line(further: Mapping[str, str]) -> Iterator[str]:
    """Yield the settings, and further ones, as arguments for `postgres`."""
    for name, value in {**SETTINGS, **further}.items():
        yield "-c"
        yield f"{name}={value}"
