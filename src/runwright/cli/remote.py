"""Commands that talk to a server over HTTP: where it is, how it is asked, and in which form answers print."""

import functools
import http.client
import inspect
import json
import sys
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


class Form(StrEnum):
    """How answers are printed."""

    HUMAN = "human"
    JSON = "json"
    JSONL = "jsonl"


class RefusedError(RunwrightError):
    """The server said no; the message is its own."""

    code = "refused"


class Remote(msgspec.Struct, frozen=True):
    """A server, and what it is shown to be let in."""

    url: str
    key: str | None
    form: Form

    def get(self, path: str, **query: str | int | None) -> Thing:
        """Read something; parameters that are None are left out."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self.ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Thing:
        """Make a request; RefusedError with what the server says where it is no success."""
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
            raise RefusedError(_complaint(error)) from None
        except (URLError, TimeoutError, http.client.HTTPException) as error:
            raise UnavailableError(f"{self.url} does not answer: {error}") from None
        return json.loads(text) if text else {}

    def show(self, thing: Thing, human: Callable[[Thing], str]) -> None:
        """Print one thing."""
        if self.form is Form.HUMAN:
            typer.echo(human(thing))
        else:
            typer.echo(json.dumps(thing, indent=2 if self.form is Form.JSON else None, ensure_ascii=False))

    def show_all(self, name: str, things: Sequence[Thing], human: Callable[[Sequence[Thing]], str]) -> None:
        """Print a list: as JSON under its name, as lines of JSON one by one."""
        if self.form is Form.HUMAN:
            typer.echo(human(things))
        elif self.form is Form.JSON:
            typer.echo(json.dumps({name: things}, indent=2, ensure_ascii=False))
        else:
            for thing in things:
                typer.echo(json.dumps(thing, ensure_ascii=False))


def _complaint(error: HTTPError) -> str:
    """Return what the server says is wrong, in the shape of whichever API answered."""
    text = error.read(MOST_BYTES).decode(errors="replace")
    try:
        said = json.loads(text)["error"]
    except (ValueError, TypeError, KeyError):
        return f"The server answered {error.code}: {text[:500]}"
    if isinstance(said, dict):
        fields = said.get("fields") or {}
        lines = [f"{field}: {' '.join(problems)}" for field, problems in fields.items()]
        return "\n".join([str(said.get("message")), *lines])
    return str(said)


_OPTIONS: Final = {
    "url": Annotated[str, typer.Option("--url", envvar="RUNWRIGHT_URL", help="Where the server is.")],
    "key": Annotated[
        str | None, typer.Option("--key", envvar="RUNWRIGHT_KEY", help="An API key.", show_default=False)
    ],
    "output": Annotated[Form, typer.Option("--output", "-o", help="How to print the answer.")],
    "as_json": Annotated[bool, typer.Option("--json", help="The same as -o json.")],
}
_DEFAULTS: Final = {"url": DEFAULT_URL, "key": None, "output": Form.HUMAN, "as_json": False}


def asks_server(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which server to ask, and the server as its first argument."""
    own = list(inspect.signature(command).parameters.values())[1:]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=annotation
        )
        for name, annotation in _OPTIONS.items()
    ]

    @functools.wraps(command)
    def run(url: str, key: str | None, output: Form, as_json: bool, **arguments: object) -> None:  # noqa: FBT001  Typer passes all by name
        if urlsplit(url).scheme not in {"http", "https"}:
            raise InvalidError({"--url": ["Must begin with http:// or https://."]})
        command(Remote(url, key, Form.JSON if as_json else output), **arguments)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *added)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__
    return run


def say(text: str) -> None:
    """Tell a person something that is no answer."""
    sys.stderr.write(text + "\n")
