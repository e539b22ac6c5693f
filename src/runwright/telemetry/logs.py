"""Log lines of this process and its libraries: to stderr, as text or JSON, with secrets removed."""

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from runwright.config import Settings
from runwright.telemetry.emit import Level, TelemetryEvent

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

_PAYLOAD: Final = "payload"
_OF_RECORDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    *("message", "asctime", _PAYLOAD),
    "color_message",  # uvicorn repeats the message there with escape codes
}
"""What a record of the standard library has beside the fields of its event."""

_LEVELS: Final = {level: logging.getLevelNamesMapping()[level.upper()] for level in Level}
_LEVEL_COLOURS: Final = {"warning": 33, "error": 31, "critical": 31}
_PLAIN: Final = re.compile(r"[^\s=\"']+")

_Render = Callable[[dict[str, Any]], str]


def set_up_logs(settings: Settings) -> None:
    """Configure logging: every line goes to stderr, in the format and from the level of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _LineFormatter(_json_line if settings.log_format == "json" else _text_line(sys.stderr.isatty()))
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
        self._log = logging.getLogger("runwright")

    def __call__(self, event: TelemetryEvent) -> None:
        """Write one event."""
        if event.logged:
            extra = {_PAYLOAD: msgspec.to_builtins(event)}
            self._log.log(_LEVELS[event.level], event.name(), extra=extra)


class _LineFormatter(logging.Formatter):
    """Makes lines of records, ours and those of libraries, without secrets."""

    def __init__(self, render: _Render) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        others = {name: value for name, value in vars(record).items() if name not in _OF_RECORDS}
        own = {
            "timestamp": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            "logger": record.name,
        }
        line = own | others | getattr(record, _PAYLOAD, {}) | own
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return self._render({name: _redacted(name, value) for name, value in line.items()})


def _json_line(line: dict[str, Any]) -> str:
    return json.dumps(line, default=repr)


def _text_line(coloured: bool) -> _Render:  # noqa: FBT001  the only thing that differs
    """Return what makes a line for people: what happened, to what, and a traceback below."""

    def colour(code: int, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if coloured else text

    def render(line: dict[str, Any]) -> str:
        at, level, event, logger = (line.pop(name) for name in ("timestamp", "level", "event", "logger"))
        below = [str(line.pop(name)) for name in ("stack", "exception") if name in line]
        fields = [f"{colour(36, name)}={colour(35, _shown(value))}" for name, value in line.items()]
        head = [
            colour(2, at),
            f"[{colour(_LEVEL_COLOURS.get(level, 32), f'{level:9}')}]",
            colour(1, f"{_shown(event, spaces=True):30}"),
            *([] if logger == "runwright" else [f"[{colour(34, logger)}]"]),
        ]
        return "\n".join([" ".join(head + fields).rstrip(), *below])

    return render


def _shown(value: object, *, spaces: bool = False) -> str:
    """Return a value as text in one line that cannot be taken for anything else."""
    if isinstance(value, str) and value.isprintable() and (spaces or _PLAIN.fullmatch(value)):
        return value
    return repr(value)


def _redacted(name: str, value: object) -> object:
    if _SECRET_NAME.search(name) and value is not None:
        return HIDDEN
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {str(key): _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item) for item in value]
    return value
