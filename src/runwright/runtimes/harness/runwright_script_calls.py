"""Serves the calls of `rw` in a shell script's job; loaded at the first call."""

import json
from typing import TYPE_CHECKING, Any

from runwright_channel import LEVELS, JobCallError, JobChannel

if TYPE_CHECKING:
    from runwright_wire import JobSession

_REQUESTS = ("get", "set", "emit", "start")
_channels: list[JobChannel] = []


def serve(session: "JobSession", message: bytes) -> bytes:
    """Return the answer to a message of `rw`: JSON with `value`, or with `error`."""
    if not _channels:
        _channels.append(JobChannel(session))
    try:
        call = json.loads(message)
        return json.dumps({"value": _make(_channels[0], call.pop("op"), call)}).encode()
    except JobCallError as error:
        return _failed(error.code, str(error))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return _failed("invalid", f"The call cannot be made: {error}")


def _make(channel: JobChannel, op: str, arguments: dict[str, Any]) -> Any:
    if op in _REQUESTS:
        return channel.ask(op, **arguments)
    if op == "progress":
        channel.progress(arguments["fraction"], arguments["message"])
        return None
    channel.record(LEVELS[arguments["level"]], str(arguments["message"]), arguments["fields"])
    return None


def _failed(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()
