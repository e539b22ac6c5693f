"""Prompt templates of triggers: checked and rendered, the small ones here and the others off the event loop.

Small is what costs a few milliseconds at most: few characters in actions, a short context, few steps. What
turns out to take more is rendered again by the process beside the event loop, with the full limits.
"""

from typing import Final

import msgspec

from runwright.gotemplate import RenderLimits
from runwright.offload.client import Offload, OffloadError
from runwright.offload.functions import TemplateResult, TemplateTask, evaluate_template

SMALL_ACTION_CHARACTERS: Final = 256
SMALL_CONTEXT_BYTES: Final = 16 * 1024
SMALL: Final = RenderLimits(steps=400, characters=64 * 1024)


class Templates:
    """Checks and renders templates of tenants."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload

    async def problem(self, tenant_id: str, template: str) -> str | None:
        """Return why a template can never be rendered; None if it can."""
        task = TemplateTask(template)
        if _few_actions(template):
            return evaluate_template(task).error
        return (await self._elsewhere(tenant_id, task)).error

    def render_here(self, template: str, context: bytes) -> TemplateResult | None:
        """Return a small template's text; None where it is not small."""
        if not _few_actions(template) or len(context) > SMALL_CONTEXT_BYTES:
            return None
        result = evaluate_template(TemplateTask(template, context, SMALL))
        return None if result.error is not None else result

    async def render(self, tenant_id: str, template: str, context: bytes) -> TemplateResult:
        """Return a template's text, rendered off the event loop when it is the tenant's turn."""
        return await self._elsewhere(tenant_id, TemplateTask(template, context))

    async def _elsewhere(self, tenant_id: str, task: TemplateTask) -> TemplateResult:
        try:
            result = await self._offload.call(tenant_id, "template", msgspec.msgpack.encode(task))
        except OffloadError as error:
            return TemplateResult(error=f"the template cannot be evaluated: {error}")
        return msgspec.msgpack.decode(result, type=TemplateResult)


def _few_actions(template: str) -> bool:
    """Return whether a template has few characters inside of actions; those outside cost nothing."""
    characters, at = 0, 0
    while (begin := template.find("{{", at)) >= 0 and characters <= SMALL_ACTION_CHARACTERS:
        end = template.find("}}", begin)
        at = len(template) if end < 0 else end + 2
        characters += at - begin
    return characters <= SMALL_ACTION_CHARACTERS
