"""Commands that call a server over HTTP: its address, requests, and the format of the output."""

import functools
import http.client
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import msgspec
import typer

from runwright.core.errors import InvalidError, RunwrightError, UnavailableError

DEFAULT_URL: Final = "http://127.0.0.1:8080"
TIMEOUT_SECONDS: Final = 90.0
MOST_BYTES: Final = 64 * 1024 * 1024

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Thing: TypeAlias = "dict[str, Json]"


class OutputFormat(StrEnum):
    """The format of the output."""

    HUMAN = "human"
    JSON = "json"
    JSONL = "jsonl"


class RequestRefusedError(RunwrightError):
    """The server refused a request; the message is the server's."""

    code = "refused"


class Remote(msgspec.Struct, frozen=True):
    """A server and the credentials for it."""

    url: str
    key: str | None
    output: OutputFormat

    def get(self, path: str, **query: str | int | None) -> Thing:
        """Return the result of a GET request; parameters that are None are omitted."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self.ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Thing:
        """Return the result of a request; RequestRefusedError with the server's message if it fails."""
        request = Request(  # noqa: S310  the scheme was checked
            self.url.rstrip("/") + path,
            method=method,
            data=None if body is None else msgspec.json.encode(body),
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self.key}"} if self.key else {}),
        )
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_SECONDS) as response:
                text = response.read(MOST_BYTES)
        except HTTPError as error:
            raise RequestRefusedError(_error_message(error)) from None
        except (URLError, TimeoutError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"{self.url} does not answer: {error}. Check that the server runs, and --url."
            ) from None
        return json.loads(text) if text else {}

    def show(self, thing: Thing, human: Callable[[Thing], str]) -> None:
        """Print one resource."""
        if self.output is OutputFormat.HUMAN:
            typer.echo(human(thing))
        else:
            typer.echo(
                json.dumps(thing, indent=2 if self.output is OutputFormat.JSON else None, ensure_ascii=False)
            )

    def show_all(self, name: str, things: Sequence[Thing], human: Callable[[Sequence[Thing]], str]) -> None:
        """Print a list: in JSON as an object with the list under its name, in JSONL as one line per item."""
        if self.output is OutputFormat.HUMAN:
            typer.echo(human(things))
        elif self.output is OutputFormat.JSON:
            typer.echo(json.dumps({name: things}, indent=2, ensure_ascii=False))
        else:
            for thing in things:
                typer.echo(json.dumps(thing, ensure_ascii=False))


def _error_message(error: HTTPError) -> str:
    """Return the server's error message, in the format of any of its APIs."""
    text = error.read(MOST_BYTES).decode(errors="replace")
    try:
        reported = json.loads(text)["error"]
    except (ValueError, TypeError, KeyError):
        return f"The server answered {error.code}: {text[:500]}"
    if isinstance(reported, dict):
        fields = reported.get("fields") or {}
        lines = [f"{field}: {' '.join(problems)}" for field, problems in fields.items()]
        return "\n".join([str(reported.get("message")), *lines])
    return str(reported)


_OPTIONS: Final = {
    "url": Annotated[str, typer.Option("--url", envvar="RUNWRIGHT_URL", help="The URL of the server.")],
    "key": Annotated[
        str | None,
        typer.Option(
            "--key", envvar="RUNWRIGHT_KEY", help="The API key to authenticate with.", show_default=False
        ),
    ],
    "output": Annotated[OutputFormat, typer.Option("--output", "-o", help="The output format.")],
    "as_json": Annotated[bool, typer.Option("--json", help="Same as -o json.")],
}
_DEFAULTS: Final = {"url": DEFAULT_URL, "key": None, "output": OutputFormat.HUMAN, "as_json": False}


def asks_server(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for the server to a command, and pass the server as its first argument."""
    own = list(inspect.signature(command).parameters.values())[1:]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=annotation
        )
        for name, annotation in _OPTIONS.items()
    ]

    @functools.wraps(command)
    def run(url: str, key: str | None, output: OutputFormat, as_json: bool, **arguments: object) -> None:  # noqa: FBT001  Typer passes all by name
        if urlsplit(url).scheme not in {"http", "https"}:
            raise InvalidError({"--url": ["Must begin with http:// or https://."]})
        command(Remote(url, key, OutputFormat.JSON if as_json else output), **arguments)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *added)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__
    return run
