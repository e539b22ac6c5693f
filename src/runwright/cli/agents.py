"""`runwright agents`: lists agents of both kinds, and creates some from built-in templates."""

from collections.abc import Sequence
from enum import StrEnum
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from runwright.cli.agent_views import get, list_
from runwright.cli.apps import Commands
from runwright.cli.index import COMMANDS
from runwright.cli.output import plain, section, thing_of
from runwright.cli.remote import Remote, writes
from runwright.core.errors import InvalidError

if TYPE_CHECKING:
    from runwright.client.models.workers import NetworkAccess, WorkerInfo

app = Commands(COMMANDS["agents"])
app.command("list")(list_)
app.command()(get)

KEY_SECRET: Final = "LLM_API_KEY"  # noqa: S105  the name of a secret


class Template(StrEnum):
    """The built-in templates."""

    LLM = "llm"


@app.command()
@writes
def create(  # noqa: PLR0913  one per flag
    remote: Remote,
    *,
    template: Annotated[Template, typer.Option(help="llm: hands prompts to a language model.")],
    name: Annotated[str, typer.Option(help="The name by which automations refer to it.")],
    model: Annotated[str, typer.Option(help="The model, as its endpoint names it.")],
    base_url: Annotated[
        str, typer.Option(help="The base URL of an API compatible with OpenAI's, up to /v1.")
    ],
    system_prompt: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(help="A worker that it may call: name, or name=description; repeatable."),
    ] = None,
    raises_events: Annotated[bool, typer.Option(help="Whether the model may publish events.")] = False,
    max_steps: Annotated[
        int, typer.Option(min=1, max=50, help="The most responses of the model per run.")
    ] = 10,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="The most tokens per run, input and output.")
    ] = 50_000,
    timeout_seconds: Annotated[int, typer.Option(min=1, max=3600, help="Per step.")] = 300,
) -> None:
    r"""Create an agent: a Python worker, which you may also edit.

    Its key for the model is the secret LLM_API_KEY of its tenant; set it before the first run.

    Examples:
    $ runwright agents create --template llm --name triage --model gpt-4o-mini \
      --base-url https://api.openai.com/v1
    """
    source = resources.files("runwright.cli") / "templates" / f"{template}.py"
    network: NetworkAccess = {"allow": [_host(base_url)]}
    made = remote.writer.workers.create(
        name,
        "python",
        description=f"Agent of the template {template}: {model} at {base_url}",
        source_code=source.read_text(encoding="utf-8"),
        config=_config(
            LLM_BASE_URL=base_url,
            LLM_MODEL=model,
            LLM_SYSTEM_PROMPT=system_prompt,
            LLM_MAX_STEPS=str(max_steps),
            LLM_MAX_TOKENS=str(max_tokens),
            LLM_RAISES_EVENTS="true" if raises_events else None,
            AGENT_TOOLS=_tools(tool or ()),
        ),
        secrets=[KEY_SECRET],
        timeout_seconds=timeout_seconds,
        network=network,
    )
    remote.output.thing(made, lambda: _describe(made))


def _config(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _tools(given: Sequence[str]) -> list[dict[str, str]]:
    pairs = [one.partition("=") for one in given]
    return [
        {"worker": worker.strip()} | ({"description": text.strip()} if text.strip() else {})
        for worker, _, text in pairs
    ]


def _host(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidError({"--base-url": ["Must be a URL such as https://api.example.com/v1."]})
    return parts.hostname.rstrip(".")


def _describe(worker: "WorkerInfo") -> str:
    fields = thing_of(worker)
    names = ("id", "status", "version", "config", "secrets", "network", "timeout_seconds")
    return section(f"Agent {worker.name}", {name: plain(fields.get(name)) for name in names})
