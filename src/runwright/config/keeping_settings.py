"""The settings for what is kept, and for how long."""

from pathlib import Path
from typing import Annotated

import msgspec

from runwright.config.setting_types import Days, DaysOrZero, Heading, about


class KeepingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept, and for how long."""

    wal_archive: Annotated[
        Path | None,
        Heading("Archive"),
        about(
            "Folder for the write-ahead log of the embedded database and copies of it, from which"
            " `runwright restore --to-time` restores any second of the last week; best on another disk."
        ),
    ] = None
    retention_jobs_days: Annotated[
        Days,
        Heading("Retention, in days"),
        about("Retention of ended jobs, with their attempts and results."),
    ] = 90.0
    retention_logs_days: Annotated[Days, about("Retention of the logs of ended jobs.")] = 30.0
    retention_ticks_days: Annotated[
        Days, about("Retention of the ticks of schedules and their outcomes.")
    ] = 90.0
    retention_runs_days: Annotated[Days, about("Retention of ended automation runs.")] = 90.0
    retention_events_days: Annotated[Days, about("Retention of events and of their webhook deliveries.")] = (
        30.0
    )
    retention_versions_days: Annotated[
        DaysOrZero,
        about(
            "Retention of the code of versions that do not serve, that no job is bound to, and that are"
            " not among the newest 10 of their worker; it is deleted for good. 0 keeps all."
        ),
    ] = 365.0
    retention_audit_days: Annotated[Days, about("Retention of the audit log.")] = 365.0
