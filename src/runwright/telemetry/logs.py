"""Log lines of this process and its libraries: to stderr, as text or JSON, with secrets removed."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from runwright.config import Settings
from runwright.telemetry.emit import TelemetryEvent

HIDDEN: Final = "(hidden)"

_SECRET_NAME: Final = re.compile(
    r"(?i)(^|_|-)(secret|password|passwd|token|authorization|cookie|dsn|database_url|platform_key|api_key)$"
)
_SECRET_TEXT: Final = (
    (re.compile(r"rwk_[A-Za-z0-9_-]{8,}"), HIDDEN),  # our keys
    (re.compile(r"(?i)\b(bearer\s+)\S+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\w+://[^\s/:@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),  # a password in a URL
    (re.compile(r"(?i)([?&]password=)[^&\s]+"), rf"\1{HIDDEN}"),
)


_HTTP_CLIENTS: Final = ("httpx", "httpcore")
"""They log each request with its whole URL, in which secrets may stand; only their warnings are written."""


def set_up_logs(settings: Settings) -> None:
    """Configure logging: every line goes to stderr, in the format and from the level of the settings."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _drop_colours,
                structlog.processors.format_exc_info,
                redact,
                _renderer(settings),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    for name in _HTTP_CLIENTS:
        logging.getLogger(name).setLevel(logging.WARNING)


class EventLog:
    """Writes telemetry events as structured log lines, except for those that are only counted."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("runwright")

    def __call__(self, event: TelemetryEvent) -> None:
        """Write one event."""
        if event.logged:
            getattr(self._log, event.level)(**msgspec.to_builtins(event))


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _drop_colours(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn repeats the message there with escape codes
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide values that are secret by their name, and secrets that are recognizable by their form."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: object) -> object:
    if _SECRET_NAME.search(name) and value is not None:
        return HIDDEN
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item) for item in value]
    return value
