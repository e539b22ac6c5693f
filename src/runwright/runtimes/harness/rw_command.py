"""`rw`, for shell scripts inside a sandbox: log lines with fields, progress, state, events, jobs.

Exit status: 0 done, 1 there is no such value or it was another one, 2 wrong usage, 3 refused.
"""

import json
import os
import socket
import sys
from typing import Any, NoReturn

USAGE = """\
rw log debug|info|warn|error MESSAGE [NAME=VALUE]...
rw progress FRACTION [MESSAGE]        how far the job is, from 0 to 1
rw get KEY                            a value of the worker's state; status 1 if there is none
rw set KEY VALUE [--expect VALUE]     status 1 if the value is another one than expected
rw unset KEY
rw emit custom.NAME [JSON] [--key KEY]  prints the id of the event
rw start WORKER [JSON] [--key KEY]     a job of another worker; prints its id
A VALUE is JSON, or else text. "-" in place of a VALUE or JSON: standard input."""
LEVELS = ("debug", "info", "warn", "error")
ANSWER_BYTES = 128 * 1024
ABSENT, USED_WRONGLY, REFUSED = 1, 2, 3


def stop(status: int, message: str) -> NoReturn:
    """End with a message."""
    sys.stderr.write(f"rw: {message}\n")
    sys.exit(status)


def misuse(message: str) -> NoReturn:
    """End because of wrong arguments."""
    stop(USED_WRONGLY, f"{message}\n{USAGE}")


def value_of(text: str) -> Any:
    """Return JSON as its value, any other text as it is."""
    text = sys.stdin.read() if text == "-" else text
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text


def object_of(words: list[str]) -> Any:
    """Return the JSON object in the last argument, if there is one."""
    if not words:
        return {}
    text = sys.stdin.read() if words[0] == "-" else words[0]
    try:
        value = json.loads(text)
    except ValueError as error:
        misuse(f"that is not JSON: {error}")
    return value if isinstance(value, dict) else misuse("the JSON must be an object")


def take_option(words: list[str], name: str) -> str | None:
    """Remove an option and return its value; None where it is not given."""
    if name not in words:
        return None
    at = words.index(name)
    if at + 1 >= len(words):
        misuse(f"{name} needs a value")
    value = words[at + 1]
    del words[at : at + 2]
    return value


def log(words: list[str]) -> dict[str, Any]:
    """Return the call of `rw log`."""
    if len(words) < 2 or words[0] not in LEVELS:  # noqa: PLR2004  level and message
        misuse("log needs a level and a message")
    pairs = [word.partition("=") for word in words[2:]]
    if not all(name and equals for name, equals, _ in pairs):
        misuse("fields are NAME=VALUE")
    fields = {name: value_of(text) for name, _, text in pairs}
    return {"op": "log", "level": words[0], "message": words[1], "fields": fields}


def progress(words: list[str]) -> dict[str, Any]:
    """Return the call of `rw progress`."""
    try:
        fraction = float(words[0])
    except (IndexError, ValueError):
        misuse("progress needs a number from 0 to 1")
    return {"op": "progress", "fraction": fraction, "message": " ".join(words[1:]) or None}


def get(words: list[str]) -> dict[str, Any]:
    """Return the call of `rw get`."""
    return {"op": "get", "key": words[0]} if len(words) == 1 else misuse("get needs a key")


def put(words: list[str]) -> dict[str, Any]:
    """Return the call of `rw set`."""
    expected = take_option(words, "--expect")
    if len(words) != 2:  # noqa: PLR2004  key and value
        misuse("set needs a key and a value")
    expect = {} if expected is None else {"expect": value_of(expected)}
    return {"op": "set", "key": words[0], "value": value_of(words[1]), **expect}


def unset(words: list[str]) -> dict[str, Any]:
    """Return the call of `rw unset`."""
    if len(words) != 1:
        misuse("unset needs a key")
    return {"op": "set", "key": words[0], "value": None}


def emit(words: list[str]) -> dict[str, Any]:
    """Return the call of `rw emit`."""
    key = take_option(words, "--key")
    if not 1 <= len(words) <= 2:  # noqa: PLR2004  type and payload
        misuse("emit needs a type, and perhaps a payload")
    return {"op": "emit", "type": words[0], "payload": object_of(words[1:]), "key": key}


def start(words: list[str]) -> dict[str, Any]:
    """Return the call of `rw start`."""
    key = take_option(words, "--key")
    if not 1 <= len(words) <= 2:  # noqa: PLR2004  worker and input
        misuse("start needs a worker, and perhaps an input")
    return {"op": "start", "worker": words[0], "input": object_of(words[1:]), "key": key}


COMMANDS = {
    "log": log,
    "progress": progress,
    "get": get,
    "set": put,
    "unset": unset,
    "emit": emit,
    "start": start,
}


def ask(call: dict[str, Any]) -> Any:
    """Make a call and return its answer."""
    path = os.environ.get("RUNWRIGHT_SOCKET")
    if path is None:
        stop(REFUSED, "this is not a job of a shell worker")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(path)
            connection.send(json.dumps(call, ensure_ascii=False).encode("utf-8", "replace"))
            answer = connection.recv(ANSWER_BYTES)
    except OSError as error:
        stop(REFUSED, f"the job cannot be reached: {error.strerror}")
    if not answer:
        stop(REFUSED, "the job gave no answer")
    result = json.loads(answer)
    if "error" in result:
        stop(REFUSED, result["error"]["message"])
    return result["value"]


def main() -> None:
    """Make the call that the arguments describe."""
    name, *words = sys.argv[1:] or ["--help"]
    if name in {"--help", "-h", "help"}:
        sys.stdout.write(f"{USAGE}\n")
        return
    if name not in COMMANDS:
        misuse(f"there is no {name}")
    value = ask(COMMANDS[name](words))
    if value is None or value is False:
        sys.exit(ABSENT if name in {"get", "set"} else 0)
    if name in {"get", "emit", "start"}:
        sys.stdout.write(f"{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}\n")


if __name__ == "__main__":
    main()
