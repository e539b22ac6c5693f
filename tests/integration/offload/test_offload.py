"""The process beside the event loop: it computes, tenants take turns, and nothing outlives it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import psutil
import pytest

from runwright.automations import templates as small
from runwright.automations.templates import Templates
from runwright.offload import client
from runwright.offload.client import Offload, OffloadError, OffloadTimeoutError
from runwright.offload.functions import (
    CheckTask,
    TemplateResult,
    TemplateTask,
    WebhookResult,
    WebhookTask,
    canonical_digest,
    evaluate_webhook,
)

CONTEXT = msgspec.json.encode(
    {"kind": "k", "scope": "global", "source": "hook", "workspace_id": "", "data": {"what": "fire"}}
)
DOUBLING = "".join(
    f'{{{{define "t{n}"}}}}{{{{template "t{n + 1}" .}}}}{{{{template "t{n + 1}" .}}}}{{{{end}}}}'
    for n in range(24)
)
COSTLY = f'{DOUBLING}{{{{define "t24"}}}}x{{{{end}}}}{{{{template "t0" .}}}}'


@pytest.fixture
async def offload() -> AsyncIterator[Offload]:
    one = Offload()
    yield one
    await one.stop()


async def _render(offload: Offload, template: str, tenant: str = "ten_a") -> TemplateResult:
    task = msgspec.msgpack.encode(TemplateTask(template, CONTEXT))
    return msgspec.msgpack.decode(await offload.call(tenant, "template", task), type=TemplateResult)


def _children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # also a zombie of another test
            if "runwright.offload.process" in child.cmdline():
                found.append(child)
    return found


async def test_a_template_is_rendered_or_refused(offload: Offload) -> None:
    assert await _render(offload, "see {{ .Data.what }}") == TemplateResult("see fire")
    refused = await _render(offload, COSTLY)
    assert refused.error == "the template takes more than 50000 steps"
    assert (await _render(offload, "{{ .Data.what")).error is not None


async def test_tenants_take_turns(offload: Offload) -> None:
    ended: list[str] = []

    async def render(tenant: str) -> None:
        await _render(offload, "{{ range 1000 }}{{ end }}", tenant)
        ended.append(tenant)

    async with asyncio.TaskGroup() as group:
        for tenant in ("ten_a", "ten_a", "ten_a", "ten_a", "ten_b"):
            group.create_task(render(tenant))
    assert ended.index("ten_b") <= 2


async def test_a_tenant_has_so_many_calls_waiting_and_others_are_served(
    offload: Offload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MOST_WAITING", 3)
    monkeypatch.setattr(client, "MOST_WAITING_BYTES", 10_000)
    calls = [asyncio.create_task(_render(offload, COSTLY)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(OffloadError, match="too many wait"):
        await _render(offload, "x")
    other = asyncio.create_task(_render(offload, "x" * 20_000, "ten_b"))
    await asyncio.sleep(0)
    with pytest.raises(OffloadError, match="too many wait"):
        await _render(offload, "y" * 5_000, "ten_b")
    assert (await other).text == "x" * 20_000
    await asyncio.gather(*calls)
    assert (await _render(offload, "y")).text == "y"


async def test_a_process_that_dies_fails_its_call_and_is_replaced(offload: Offload) -> None:
    await _render(offload, "x")
    [process] = _children()
    call = asyncio.create_task(_render(offload, COSTLY))
    await asyncio.sleep(0)
    process.kill()
    with pytest.raises(OffloadError, match="its process ended"):
        await call
    assert (await _render(offload, "y")).text == "y"
    assert len(_children()) == 1


async def test_a_call_that_takes_too_long_fails(offload: Offload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CALL_SECONDS", 0.0)
    with pytest.raises(OffloadError, match="it took too long"):
        await _render(offload, COSTLY)
    assert _children() == []


async def test_a_call_in_c_that_no_bound_has_foreseen_ends_by_its_processor_time(offload: Offload) -> None:
    """The comparison of thousands of integers over 64 bits is quadratic, and takes no notice of Python."""
    inputs = [msgspec.json.encode({"a": [2**64 + n for n in range(20_000)]})]
    task = msgspec.msgpack.encode(CheckTask(b'{"properties":{"a":{"uniqueItems":true}}}', inputs))
    with pytest.raises(OffloadTimeoutError, match="it took too long"):
        await offload.call("ten_a", "inputs", task)
    assert (await _render(offload, "y")).text == "y"
    assert len(_children()) == 1


async def test_the_process_has_a_memory_limit_and_a_low_priority(offload: Offload) -> None:
    await _render(offload, "x")
    [process] = _children()
    assert process.nice() > psutil.Process().nice() or process.nice() == 19
    assert process.rlimit(psutil.RLIMIT_AS)[0] == 1 << 30
    assert process.environ() == {} or set(process.environ()) <= {"LC_CTYPE"}


async def test_the_process_ends_when_there_is_nothing_to_compute_and_at_the_stop() -> None:
    idle = Offload(idle_seconds=0.0)
    await _render(idle, "x")
    await asyncio.wait([one for one in asyncio.all_tasks() if one.get_name() == "offload"])
    assert _children() == []
    assert (await _render(idle, "y")).text == "y"
    busy = Offload()
    await _render(busy, "x")
    assert _children()
    await idle.stop()
    await busy.stop()
    assert _children() == []


async def test_what_is_rendered_here_is_small(offload: Offload, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of what the event loop does for a template, in steps and bytes."""
    templates = Templates(offload)
    assert templates.render_here("see {{ .Data.what }}", CONTEXT) == TemplateResult("see fire")
    assert templates.render_here("{{ range 100 }}{{ end }}", CONTEXT) is None
    assert templates.render_here("{{ 1 }}" * 50, CONTEXT) is None
    assert templates.render_here("{{ .Data.what }}", CONTEXT + b" " * 20_000) is None
    assert templates.render_here("words " * 2_000, CONTEXT) is not None
    evaluated: list[TemplateTask] = []
    monkeypatch.setattr(small, "evaluate_template", evaluated.append)
    assert await templates.problem("ten_a", "{{ 1 }}" * 50) is None
    assert await templates.problem("ten_a", "{{ nonsense }}" * 50) is not None
    assert evaluated == []


async def test_the_digest_of_a_body_is_the_same_for_all_ways_to_write_it(offload: Offload) -> None:
    first = await offload.call("ten_a", "digest", b'{"a": 1, "b": {"d": [1, 2], "c": null}}')
    assert first == canonical_digest(b'{"b":{"c":null,"d":[1,2]},"a":1}')
    assert first != canonical_digest(b'{"b":{"c":null,"d":[2,1]},"a":1}')


async def test_a_large_delivery_is_read_elsewhere_as_a_small_one_is_here(offload: Offload) -> None:
    for body in (
        b'{"ref": "main", "text": "%s"}' % (b"x" * 40_000),
        b"\xff not JSON",
        b"[1]",
        b'{"a": "\\ud800"}',
    ):
        for ref in ("main", "other"):
            task = WebhookTask(
                body=body,
                context=CONTEXT,
                filter={"data.ref": ref, "data.what": "fire"},
                limit_bytes=2 * len(body),
            )
            result = await offload.call("ten_a", "webhook", msgspec.msgpack.encode(task))
            decoded = msgspec.msgpack.decode(result, type=WebhookResult)
            assert decoded == evaluate_webhook(task)
            assert decoded.matched is (body.startswith(b'{"ref"') and ref == "main")
