"""What a tool is, and how a call of one becomes a result."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from runwright.client import AsyncRunwright
from runwright.mcp.dry_run_tokens import DryRunTokens
from runwright.mcp.grants import Grant
from runwright.mcp.results import ToolResult

ParametersT = TypeVar("ParametersT", bound="Parameters")


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of the parameters of tools; a parameter that is not listed is refused."""

    def given(self, *names: str) -> dict[str, Any]:
        """Return the values of these fields, without those that were left out."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not msgspec.UNSET}


class NoParameters(Parameters, frozen=True, kw_only=True):
    """For tools without parameters."""


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of a tool have of their caller: the API as the caller, and the tokens of dry runs."""

    api: AsyncRunwright
    dry_run_tokens: DryRunTokens


RunTool: TypeAlias = Callable[[ToolContext, ParametersT], Awaitable[ToolResult]]
"""What a tool does."""


class ToolError(Exception):
    """A call that cannot be carried out; its text is for the model."""


class Tool(msgspec.Struct, Generic[ParametersT], frozen=True, kw_only=True):
    """A tool: what it is called with, and what it does."""

    name: str
    title: str
    description: str
    grant: Grant
    destructive: bool
    parameters: type[ParametersT]
    run: RunTool[ParametersT]

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its parameters."""
        (schema,), definitions = msgspec.json.schema_components(
            [self.parameters], ref_template="#/$defs/{name}"
        )
        own = definitions.pop(self.parameters.__name__, schema)
        kept = {name: own[name] for name in _SCHEMA if name in own}
        return kept | ({"$defs": definitions} if definitions else {})

    async def call(self, context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
        """Return the result of a call. Raises ToolError for parameters that are wrong."""
        try:
            parameters = msgspec.convert(dict(arguments), self.parameters)
        except msgspec.ValidationError as error:
            raise ToolError(f"Wrong parameters: {error}") from None
        return await self.run(context, parameters)


class Tools:
    """A set of tools, by name."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool[Any]] = {}

    def add(
        self, title: str, grant: Grant = Grant.READ, *, destructive: bool = False
    ) -> Callable[[RunTool[ParametersT]], RunTool[ParametersT]]:
        """Register a function as the tool of its name; its docstring is the description."""

        def register(run: RunTool[ParametersT]) -> RunTool[ParametersT]:
            self._tools[run.__name__] = Tool(
                name=run.__name__,
                title=title,
                description=" ".join((run.__doc__ or "").split()),
                grant=grant,
                destructive=destructive,
                parameters=run.__annotations__["parameters"],
                run=run,
            )
            return run

        return register

    def granted(self, grant: Grant) -> Iterator[Tool[Any]]:
        """Yield the tools that a grant allows."""
        return (tool for tool in self._tools.values() if tool.grant <= grant)

    def get(self, name: str, grant: Grant) -> Tool[Any]:
        """Return a tool. Raises ToolError if there is none, or the grant does not allow it."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolError(f"There is no tool of the name {name[:100]!r}.")
        if tool.grant > grant:
            allow = tool.grant.name.lower()
            raise ToolError(f"{name} is not allowed here: the server has to be started with --allow {allow}.")
        return tool


_SCHEMA: Final = ("type", "properties", "required", "additionalProperties")

TOOLS: Final = Tools()
