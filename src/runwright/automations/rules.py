"""The rules of definitions, in the order in which they are asked, the first broken one wins.

They are the same for what callers send and for what files say; `path` names the definition in the
message (`job`, `automation.jobs[0]`).
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from runwright.automations.errors import DefinitionError
from runwright.automations.filters import FilterError, compile_filter
from runwright.automations.model import (
    WEBHOOK_EVENT,
    Automation,
    FireLimit,
    Kind,
    Retry,
    TaskSpec,
)
from runwright.automations.schedule_parsing import spec_problem
from runwright.cron.go_durations import DurationError, parse_duration
from runwright.gotemplate import TemplateError, compile_template

SCOPES: Final = ("global", "workspace")
TASK_OWNERS: Final = ("human", "agent_session", "automation", "extension", "network_peer", "pool")
SIGNATURES: Final = ("agh", "github", "stripe", "standard")
LONGEST_TEXT: Final = 1_000
"""Of names and the like."""
LONGEST_PROMPT: Final = 256 * 1024
MOST_RETRIES: Final = 100
MOST_FIRES: Final = 1_000_000_000
LONGEST_GRACE_SECONDS: Final = 86_400

_CHANNEL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_WEBHOOK_ID: Final = re.compile(r"wbh_[A-Za-z0-9._~-]{0,124}", re.ASCII)
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


def check(one: Automation, path: str, *, zone: str, has_secret: bool) -> None:
    """Raise DefinitionError where a definition breaks a rule.

    `zone` is that of cron expressions; `has_secret`: it has, or is given, the secret of a webhook.
    """
    problems = _job_problems(one, path, zone) if one.kind is Kind.JOB else _trigger_problems(one, path)
    for problem in _text_problems(one, path), problems, _webhook_problems(one, path, has_secret=has_secret):
        for message in problem:
            raise DefinitionError(message)


def quoted(text: str) -> str:
    """Return a text in quotes, cut where it is long."""
    return '"' + text[:200].replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text_problems(one: Automation, path: str) -> Iterable[str]:
    short = {
        "name": one.name,
        "agent_name": one.agent_name,
        "workspace_id": one.workspace_id,
        "event": one.event,
    }
    for field, text in short.items():
        if len(text) > LONGEST_TEXT:
            yield f"{path}.{field} must have at most {LONGEST_TEXT} characters"
    if len(one.prompt.encode()) > LONGEST_PROMPT:
        yield f"{path}.prompt must have at most {LONGEST_PROMPT} bytes"


def _job_problems(one: Automation, path: str, zone: str) -> Iterable[str]:
    details = one.details
    yield from _who_problems(one, path, agent_needed=details.task is None)
    yield from _scope_problems(one.scope, one.workspace_id, path)
    yield from spec_problem(details.schedule, f"{path}.schedule", zone)
    yield from _retry_problems(details.retry, f"{path}.retry")
    yield from _limit_problems(one.fire_limit, f"{path}.fire_limit")
    if not 0 < details.misfire_grace_seconds <= LONGEST_GRACE_SECONDS:
        yield f"{path}.scheduler.misfire_grace_seconds must be between 1 and {LONGEST_GRACE_SECONDS}"
    if details.task is not None:
        yield from _task_problems(details.task, f"{path}.task")
        if details.retry.strategy != "none":
            yield f'{path}.retry.strategy must be "none" when {path}.task is configured'


def _trigger_problems(one: Automation, path: str) -> Iterable[str]:
    yield from _who_problems(one, path, agent_needed=True)
    if not one.event:
        yield f"{path}.event is required"
    yield from _scope_problems(one.scope, one.workspace_id, path)
    yield from _retry_problems(one.details.retry, f"{path}.retry")
    yield from _limit_problems(one.fire_limit, f"{path}.fire_limit")
    try:
        compile_filter(one.details.filter)
    except FilterError as error:
        yield f"{path}.filter{error.message}"
    try:
        compile_template(one.prompt)
    except TemplateError as error:
        yield f"{path}.prompt is invalid: {error}"


def _who_problems(one: Automation, path: str, *, agent_needed: bool) -> Iterable[str]:
    if not one.name:
        yield f"{path}.name is required"
    if agent_needed and not one.agent_name:
        yield f"{path}.agent_name is required"
    if agent_needed and not one.prompt:
        yield f"{path}.prompt is required"


def _scope_problems(scope: str, workspace_id: str, path: str) -> Iterable[str]:
    if scope not in SCOPES:
        yield f'{path}.scope must be one of "global" or "workspace": {quoted(scope)}'
    elif scope == "global" and workspace_id:
        yield f'{path}.workspace_id must be empty when {path}.scope is "global"'
    elif scope == "workspace" and not workspace_id:
        yield f'{path}.workspace_id is required when {path}.scope is "workspace"'


def _retry_problems(retry: Retry, path: str) -> Iterable[str]:
    if retry.strategy == "none":
        if retry.max_retries != 0:
            yield f'{path}.max_retries must be 0 when {path}.strategy is "none": {retry.max_retries}'
        if retry.base_delay:
            yield f'{path}.base_delay must be empty when {path}.strategy is "none"'
    elif retry.strategy == "backoff":
        if not 0 < retry.max_retries <= MOST_RETRIES:
            bound = "positive" if retry.max_retries <= 0 else f"at most {MOST_RETRIES}"
            yield f"{path}.max_retries must be {bound}: {retry.max_retries}"
        yield from duration_problems(retry.base_delay, f"{path}.base_delay")
    else:
        yield f'{path}.strategy must be one of "none" or "backoff": {quoted(retry.strategy)}'


def _limit_problems(limit: FireLimit, path: str) -> Iterable[str]:
    if not 0 < limit.max <= MOST_FIRES:
        bound = "positive" if limit.max <= 0 else f"at most {MOST_FIRES}"
        yield f"{path}.max must be {bound}: {limit.max}"
    yield from duration_problems(limit.window, f"{path}.window")


def duration_problems(text: str, path: str) -> Iterable[str]:
    """Say what is wrong with a duration that has to be positive."""
    if not text:
        yield f"{path} is required"
        return
    try:
        duration = parse_duration(text)
    except DurationError as error:
        yield f"{path} is invalid: {error}"
        return
    if duration <= timedelta():
        yield f"{path} must be positive: {quoted(text)}"


def _task_problems(task: TaskSpec, path: str) -> Iterable[str]:
    channel = task.network_channel
    if channel and not _CHANNEL.fullmatch(channel):
        yield f"{path}.network_channel is invalid: channel={quoted(channel)}"
    if task.owner is not None:
        if task.owner.kind.lower() not in TASK_OWNERS:
            yield f"{path}.owner.kind has unsupported value {quoted(task.owner.kind)}"
        if not task.owner.ref:
            yield f"{path}.owner.ref is required"
    for field, text in (("title", task.title), ("owner.ref", task.owner.ref if task.owner else "")):
        if len(text) > LONGEST_TEXT:
            yield f"{path}.{field} must have at most {LONGEST_TEXT} characters"
    if len(task.description.encode()) > LONGEST_PROMPT:
        yield f"{path}.description must have at most {LONGEST_PROMPT} bytes"


def _webhook_problems(one: Automation, path: str, *, has_secret: bool) -> Iterable[str]:
    if one.kind is not Kind.TRIGGER:
        return
    details = one.details
    if one.event != WEBHOOK_EVENT:
        when = f"must be empty when event is {quoted(one.event)}"
        for field, text in (("endpoint_slug", one.endpoint_slug), ("webhook_id", one.webhook_id)):
            if text:
                yield f"{path}.{field} {when}"
        if has_secret:
            yield f"{path}.webhook_secret_ref {when}"
        if details.signature != "agh":
            yield f"{path}.webhook_signature {when}"
        return
    yield from _endpoint_problems(one, path)
    if not has_secret:
        yield f'{path}.webhook_secret_ref is required when event is "webhook"'
    if details.signature not in SIGNATURES:
        names = ", ".join(quoted(name) for name in SIGNATURES)
        yield f"{path}.webhook_signature must be one of {names}: {quoted(details.signature)}"


def _endpoint_problems(one: Automation, path: str) -> Iterable[str]:
    if not one.endpoint_slug and not one.webhook_id:
        yield f'{path}.endpoint_slug or {path}.webhook_id is required when event is "webhook"'
    if one.webhook_id and not one.webhook_id.startswith("wbh_"):
        yield f'{path}.webhook_id must start with "wbh_": {quoted(one.webhook_id)}'
    elif one.webhook_id and (not _WEBHOOK_ID.fullmatch(one.webhook_id) or "--" in one.webhook_id):
        yield f"{path}.webhook_id is invalid: {quoted(one.webhook_id)}"
    if one.endpoint_slug and (not _SLUG.fullmatch(one.endpoint_slug) or "--" in one.endpoint_slug):
        yield f"{path}.endpoint_slug is invalid: {quoted(one.endpoint_slug)}"
