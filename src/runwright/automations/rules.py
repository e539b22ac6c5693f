"""The validation rules of definitions, in the order in which they apply; the first broken rule is reported.

They apply equally to API requests and to configuration files; `path` names the definition in messages
(`job`, `automation.jobs[0]`).
"""

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from runwright.automations.errors import DefinitionError
from runwright.automations.model import (
    DEFAULT_FIRE_LIMIT,
    WEBHOOK_EVENT,
    AnyDefinition,
    AutomationDefinition,
    AutomationScope,
    FieldMark,
    FireLimit,
    JobDefinition,
    RetryStrategy,
    RunOverlap,
    RunRetryPolicy,
    TaskSpec,
    TriggerDefinition,
    marked,
)
from runwright.automations.schedule_parsing import schedule_problems
from runwright.automations.webhook_schemes import (
    PLACEHOLDERS,
    HashName,
    SecretEncoding,
    SignatureEncoding,
    SignatureScheme,
    WebhookHmac,
)
from runwright.core.event_filters import FilterError, compile_filter
from runwright.cron.go_durations import DurationError, parse_duration
from runwright.gotemplate import TemplateError, compile_template

TASK_OWNERS: Final = ("human", "agent_session", "automation", "extension", "network_peer", "pool")
LONGEST_TEXT: Final = 1_000
"""Of names and other short texts, in characters."""
LONGEST_PROMPT: Final = 256 * 1024
MOST_RETRIES: Final = 100
MOST_FIRES: Final = 1_000_000_000
LONGEST_GRACE_SECONDS: Final = 86_400
MOST_HEADERS: Final = 20
"""That a trigger shows to its filter and prompt."""

_CHANNEL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_WEBHOOK_ID: Final = re.compile(r"wbh_[A-Za-z0-9._~-]{0,124}", re.ASCII)
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_CREDENTIAL: Final = re.compile(r"auth|cookie|token|secret|password|signature|api-?key|hmac", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_WEBHOOK_DEFAULTS: Final = marked(TriggerDefinition, FieldMark.WEBHOOK)


TemplateProblem = Callable[[str], str | None]
"""Returns why a template can never be rendered; None if it can."""


def template_problem(template: str) -> str | None:
    """Return why a template can never be rendered; None if it can. May take seconds for a long one."""
    try:
        compile_template(template)
    except TemplateError as error:
        return str(error)
    return None


def check(
    definition: AnyDefinition,
    path: str,
    *,
    zone: str,
    has_secret: bool,
    template_problem: TemplateProblem = template_problem,
) -> None:
    """Raise DefinitionError if a definition breaks a rule.

    `zone` applies to cron expressions that name none; `has_secret`: a webhook secret is stored or given.
    """
    for message in _problems(definition, path, zone):
        raise DefinitionError(message)
    if isinstance(definition, TriggerDefinition):
        problem = template_problem(definition.prompt)
        if problem is not None:
            raise DefinitionError(f"{path}.prompt is invalid: {problem}")
        for message in _webhook_problems(definition, path, has_secret=has_secret):
            raise DefinitionError(message)


def quoted(text: str) -> str:
    """Return a text in double quotes, shortened if it is long."""
    return '"' + text[:200].replace("\\", "\\\\").replace('"', '\\"') + '"'


def _problems(definition: AnyDefinition, path: str, zone: str) -> Iterable[str]:
    yield from _text_problems(definition, path)
    if isinstance(definition, JobDefinition):
        yield from _job_problems(definition, path, zone)
    else:
        yield from _trigger_problems(definition, path)


def _text_problems(definition: AnyDefinition, path: str) -> Iterable[str]:
    for field in ("name", "agent_name", "workspace_id", "event"):
        if len(getattr(definition, field, "")) > LONGEST_TEXT:
            yield f"{path}.{field} must have at most {LONGEST_TEXT} characters"
    if len(definition.prompt.encode()) > LONGEST_PROMPT:
        yield f"{path}.prompt must have at most {LONGEST_PROMPT} bytes"


def _job_problems(job: JobDefinition, path: str, zone: str) -> Iterable[str]:
    yield from _agent_problems(job, path, agent_required=job.task is None)
    yield from _scope_problems(job, path)
    yield from schedule_problems(job.schedule, f"{path}.schedule", zone)
    yield from _retry_problems(job.retry, f"{path}.retry")
    yield from fire_limit_problems(job.fire_limit or DEFAULT_FIRE_LIMIT, f"{path}.fire_limit")
    if not 0 < job.misfire_grace_seconds <= LONGEST_GRACE_SECONDS:
        yield f"{path}.scheduler.misfire_grace_seconds must be between 1 and {LONGEST_GRACE_SECONDS}"
    if job.overlap not in set(RunOverlap):
        names = ", ".join(map(quoted, RunOverlap))
        yield f"{path}.overlap must be one of {names}: {quoted(job.overlap)}"
    if job.task is not None:
        yield from _task_problems(job.task, f"{path}.task")
        if job.retry.strategy != RetryStrategy.NONE:
            yield f'{path}.retry.strategy must be "none" when {path}.task is configured'


def _trigger_problems(trigger: TriggerDefinition, path: str) -> Iterable[str]:
    yield from _agent_problems(trigger, path, agent_required=True)
    if not trigger.event:
        yield f"{path}.event is required"
    yield from _scope_problems(trigger, path)
    yield from _retry_problems(trigger.retry, f"{path}.retry")
    yield from fire_limit_problems(trigger.fire_limit or DEFAULT_FIRE_LIMIT, f"{path}.fire_limit")
    try:
        compile_filter(trigger.filter)
    except FilterError as error:
        yield f"{path}.filter{error.message}"


def _agent_problems(one: AutomationDefinition, path: str, *, agent_required: bool) -> Iterable[str]:
    if not one.name:
        yield f"{path}.name is required"
    if agent_required and not one.agent_name:
        yield f"{path}.agent_name is required"
    if agent_required and not one.prompt:
        yield f"{path}.prompt is required"


def _scope_problems(one: AutomationDefinition, path: str) -> Iterable[str]:
    if one.scope not in set(AutomationScope):
        yield f'{path}.scope must be one of "global" or "workspace": {quoted(one.scope)}'
    elif one.scope == AutomationScope.GLOBAL and one.workspace_id:
        yield f'{path}.workspace_id must be empty when {path}.scope is "global"'
    elif one.scope == AutomationScope.WORKSPACE and not one.workspace_id:
        yield f'{path}.workspace_id is required when {path}.scope is "workspace"'


def _retry_problems(retry: RunRetryPolicy, path: str) -> Iterable[str]:
    if retry.strategy == RetryStrategy.NONE:
        if retry.max_retries != 0:
            yield f'{path}.max_retries must be 0 when {path}.strategy is "none": {retry.max_retries}'
        if retry.base_delay:
            yield f'{path}.base_delay must be empty when {path}.strategy is "none"'
    elif retry.strategy == RetryStrategy.BACKOFF:
        if not 0 < retry.max_retries <= MOST_RETRIES:
            bound = "positive" if retry.max_retries <= 0 else f"at most {MOST_RETRIES}"
            yield f"{path}.max_retries must be {bound}: {retry.max_retries}"
        yield from _duration_problems(retry.base_delay, f"{path}.base_delay")
    else:
        yield f'{path}.strategy must be one of "none" or "backoff": {quoted(retry.strategy)}'


def fire_limit_problems(limit: FireLimit, path: str) -> Iterable[str]:
    """Yield what is wrong with a fire limit."""
    if not 0 < limit.max <= MOST_FIRES:
        bound = "positive" if limit.max <= 0 else f"at most {MOST_FIRES}"
        yield f"{path}.max must be {bound}: {limit.max}"
    yield from _duration_problems(limit.window, f"{path}.window")


def _duration_problems(text: str, path: str) -> Iterable[str]:
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


def _webhook_problems(trigger: TriggerDefinition, path: str, *, has_secret: bool) -> Iterable[str]:
    if trigger.event != WEBHOOK_EVENT:
        given = [name for name, empty in _WEBHOOK_DEFAULTS.items() if getattr(trigger, name) != empty]
        for field in [*given, *(["webhook_secret_ref"] if has_secret else [])]:
            yield f"{path}.{field} must be empty when event is {quoted(trigger.event)}"
        return
    yield from _endpoint_problems(trigger, path)
    if not has_secret:
        yield f'{path}.webhook_secret_ref is required when event is "webhook"'
    if trigger.webhook_signature not in set(SignatureScheme):
        names = ", ".join(quoted(name) for name in SignatureScheme)
        yield f"{path}.webhook_signature must be one of {names}: {quoted(trigger.webhook_signature)}"
    elif trigger.webhook_signature == SignatureScheme.HMAC:
        yield from _hmac_problems(trigger.webhook_hmac, f"{path}.webhook_hmac")


def _hmac_problems(custom: WebhookHmac | None, path: str) -> Iterable[str]:
    if custom is None:
        yield f'{path} is required when webhook_signature is "hmac"'
        return
    yield from _header_problems(custom, path)
    choices = (("encoding", SignatureEncoding), ("algorithm", HashName), ("secret_encoding", SecretEncoding))
    for name, allowed in choices:
        if getattr(custom, name) not in set(allowed):
            names = ", ".join(map(quoted, allowed))
            yield f"{path}.{name} must be one of {names}: {quoted(getattr(custom, name))}"
    for name in ("prefix", "signed", "signature_key", "timestamp_key", "id_field"):
        if len(getattr(custom, name)) > LONGEST_TEXT:
            yield f"{path}.{name} must have at most {LONGEST_TEXT} characters"
    yield from _signed_problems(custom, path)


def _header_problems(custom: WebhookHmac, path: str) -> Iterable[str]:
    if not custom.signature_header:
        yield f"{path}.signature_header is required"
    for name in ("signature_header", "timestamp_header", "id_header"):
        if (header := getattr(custom, name)) and not _HEADER.fullmatch(header):
            yield f"{path}.{name} must be the name of a header: {quoted(header)}"
    if len(custom.headers) > MOST_HEADERS:
        yield f"{path}.headers must have at most {MOST_HEADERS} entries"
    for header in custom.headers:
        if not _HEADER.fullmatch(header) or _CREDENTIAL.search(header):
            yield f"{path}.headers must be names of headers that are no credentials: {quoted(header)}"
        if header.lower() == custom.signature_header.lower():
            yield f"{path}.headers must not name the signature"


def _signed_problems(custom: WebhookHmac, path: str) -> Iterable[str]:
    if custom.encoding == SignatureEncoding.TOKEN:
        return
    used = set(_PLACEHOLDER.findall(custom.signed))
    if used - set(PLACEHOLDERS) or not used & {"body", "form"}:
        names = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        yield f"{path}.signed must have {{body}} or {{form}}, and may have {names}: {quoted(custom.signed)}"
    if "timestamp" in used and not (custom.timestamp_header or custom.timestamp_key):
        yield f"{path}.timestamp_header is required where signed has {{timestamp}}"
    if "id" in used and not custom.id_header:
        yield f"{path}.id_header is required where signed has {{id}}"


def _endpoint_problems(trigger: TriggerDefinition, path: str) -> Iterable[str]:
    slug, webhook_id = trigger.endpoint_slug, trigger.webhook_id
    if not slug and not webhook_id:
        yield f'{path}.endpoint_slug or {path}.webhook_id is required when event is "webhook"'
    if webhook_id and not webhook_id.startswith("wbh_"):
        yield f'{path}.webhook_id must start with "wbh_": {quoted(webhook_id)}'
    elif webhook_id and (not _WEBHOOK_ID.fullmatch(webhook_id) or "--" in webhook_id):
        yield f"{path}.webhook_id is invalid: {quoted(webhook_id)}"
    if slug and (not _SLUG.fullmatch(slug) or "--" in slug):
        yield f"{path}.endpoint_slug is invalid: {quoted(slug)}"
