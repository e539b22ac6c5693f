"""The prompts of due runs: rendered before their runs are claimed, so that no transaction waits for one.

A run's prompt is ready (it has no template, or a small one that is rendered at once), or it is rendered off
the event loop. Meanwhile its run stays due and counts as one of its tenant's; `on_ready` is called when it is
ready. A tenant has another prompt rendered only while as many could be rendered as it would then have.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from runwright.automations.store.queue import LiveRun
from runwright.automations.templates import Templates
from runwright.offload.functions import TemplateResult

MOST_RENDERED: Final = 64
"""Prompts that are being rendered, of all tenants."""

MOST_READY: Final = 64
"""Rendered prompts whose runs have not been claimed yet; of further ones the oldest are rendered again."""


class _Rendering(msgspec.Struct, frozen=True, eq=False):
    tenant_id: str
    task: asyncio.Task[TemplateResult]


class RunPrompts:
    """Renders prompts for a dispatcher."""

    def __init__(self, templates: Templates, *, on_ready: Callable[[], None]) -> None:
        self._templates = templates
        self._on_ready = on_ready
        self._rendering: dict[str, _Rendering] = {}
        self._ready: OrderedDict[str, TemplateResult] = OrderedDict()

    @property
    def rendering(self) -> Mapping[str, str]:
        """The runs whose prompts are being rendered, with their tenants."""
        return {run_id: one.tenant_id for run_id, one in self._rendering.items()}

    async def prepare(self, due: Sequence[LiveRun]) -> dict[str, TemplateResult]:
        """Return the prompts that are ready, by run, and begin to render others."""
        ready: dict[str, TemplateResult] = {}
        for live in due:
            result = self._ready.get(live.run.id) or self._at_once(live)
            if result is not None:
                ready[live.run.id] = result
            else:
                self._begin(live)
            await asyncio.sleep(0)  # each takes a moment; others go in between
        return ready

    def forget(self, run_ids: Sequence[str]) -> None:
        """Drop the prompts of runs that were claimed."""
        for run_id in run_ids:
            self._ready.pop(run_id, None)

    async def settled(self) -> None:
        """Wait until nothing is being rendered."""
        while self._rendering:
            await asyncio.wait([one.task for one in self._rendering.values()])
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Stop rendering; the runs stay due."""
        tasks = [one.task for one in self._rendering.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _at_once(self, live: LiveRun) -> TemplateResult | None:
        if live.plan.task is not None or live.context is None:
            return TemplateResult(live.plan.prompt)
        try:
            return self._templates.render_here(live.plan.prompt, bytes(live.context))
        except Exception:  # noqa: BLE001  a fault of ours must not hold up other runs
            return TemplateResult(error="it cannot be rendered")

    def _begin(self, live: LiveRun) -> None:
        tenant_id, context = live.run.tenant_id, live.context
        held = Counter(one.tenant_id for one in self._rendering.values())
        if context is None or held[tenant_id] >= MOST_RENDERED - held.total():
            return
        work = self._templates.render(tenant_id, live.plan.prompt, bytes(context))
        task = asyncio.get_running_loop().create_task(work)
        self._rendering[live.run.id] = _Rendering(tenant_id, task)
        task.add_done_callback(partial(self._end, live.run.id))

    def _end(self, run_id: str, task: asyncio.Task[TemplateResult]) -> None:
        del self._rendering[run_id]
        if task.cancelled():
            return
        failed = task.exception() is not None
        self._ready[run_id] = TemplateResult(error="it cannot be rendered") if failed else task.result()
        if len(self._ready) > MOST_READY:
            self._ready.popitem(last=False)
        self._on_ready()
