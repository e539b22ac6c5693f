"""Definitions in a file: TOML with `[automation]`, `[[automation.jobs]]` and `[[automation.triggers]]`.

Reading is strict as a whole: one bad definition and nothing of the file counts, with a message that
begins with the definition's path (`automation.jobs[0].schedule.mode`).
"""

import re
import tomllib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.errors import DefinitionError
from runwright.automations.model import (
    DEFAULT_TENANT,
    WEBHOOK_EVENT,
    Automation,
    Details,
    FireLimit,
    Kind,
    Retry,
    ScheduleSpec,
    Source,
    TaskSpec,
    config_digest,
)
from runwright.automations.rules import check, duration_problems
from runwright.cron.zones import UnknownZoneError, find_zone
from runwright.schedules.model import DEFAULT_GRACE_SECONDS
from runwright.schedules.tick_policy import CatchUp
from runwright.tenants.model import is_tenant_id

_CATCH_UPS: Final = {
    "skip_missed": CatchUp.NONE,
    "run_once": CatchUp.LAST,
    "run_all": CatchUp.ALL,
}
_REF: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|vault:automation/[A-Za-z0-9_/.-]{1,200}", re.ASCII)
_AT: Final = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    scope: str = ""
    name: str = ""
    agent: str = ""
    workspace: str = ""
    prompt: str = ""
    schedule: ScheduleSpec = ScheduleSpec()
    task: TaskSpec | None = None
    enabled: bool = True
    retry: Retry = Retry()
    fire_limit: FireLimit | None = None
    catch_up_policy: str = "skip_missed"
    misfire_grace_seconds: int = DEFAULT_GRACE_SECONDS
    tenant: str | None = None


class _Trigger(msgspec.Struct, frozen=True, kw_only=True):
    scope: str = ""
    name: str = ""
    agent: str = ""
    workspace: str = ""
    prompt: str = ""
    event: str = ""
    filter: dict[str, str] = {}
    enabled: bool = True
    retry: Retry = Retry()
    fire_limit: FireLimit | None = None
    endpoint_slug: str = ""
    webhook_secret_ref: str = ""
    webhook_signature: str = "agh"
    tenant: str | None = None


class _Section(msgspec.Struct, frozen=True, kw_only=True):
    enabled: bool = True
    timezone: str | None = None
    max_concurrent_jobs: int | None = None
    default_fire_limit: FireLimit = FireLimit()
    tenant: str = DEFAULT_TENANT
    jobs: list[_Job] = []
    triggers: list[_Trigger] = []


class _File(msgspec.Struct, frozen=True, kw_only=True):
    automation: _Section = _Section()


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says; what it does not say of the server is None."""

    enabled: bool
    zone: str | None
    at_once: int | None
    default_limit: FireLimit
    definitions: list[Automation]


def read_config(text: str, *, zone: str, now: datetime) -> ConfigFile:
    """Return what a file says; `zone` is that of cron expressions where it says none.

    DefinitionError names what is wrong.
    """
    try:
        section = msgspec.convert(tomllib.loads(text), _File).automation
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"is no TOML: {error}") from None
    except msgspec.ValidationError as error:
        found = _AT.fullmatch(str(error))
        raise DefinitionError(f"{found[2]}: {found[1]}" if found else str(error)) from None
    for message in _section_problems(section):
        raise DefinitionError(message)
    definitions: list[Automation] = []
    for number, job in enumerate(section.jobs):
        definitions.append(_job(job, section, f"automation.jobs[{number}]", now))
        check(definitions[-1], f"automation.jobs[{number}]", zone=section.timezone or zone, has_secret=False)
    for number, trigger in enumerate(section.triggers):
        path = f"automation.triggers[{number}]"
        definitions.append(_trigger(trigger, section, path, now))
        check(definitions[-1], path, zone=zone, has_secret=bool(trigger.webhook_secret_ref))
    _refuse_doubles(definitions)
    return ConfigFile(
        enabled=section.enabled,
        zone=section.timezone,
        at_once=section.max_concurrent_jobs,
        default_limit=section.default_fire_limit,
        definitions=definitions,
    )


def _section_problems(section: _Section) -> Iterable[str]:
    if section.timezone is not None:
        try:
            find_zone(section.timezone)
        except UnknownZoneError as error:
            yield f"automation.timezone is invalid: {error}"
    if section.max_concurrent_jobs is not None and section.max_concurrent_jobs <= 0:
        yield f"automation.max_concurrent_jobs must be positive: {section.max_concurrent_jobs}"
    if section.default_fire_limit.max <= 0:
        yield f"automation.default_fire_limit.max must be positive: {section.default_fire_limit.max}"
    yield from duration_problems(section.default_fire_limit.window, "automation.default_fire_limit.window")
    tenants = [
        section.tenant,
        *(one.tenant for one in section.jobs),
        *(one.tenant for one in section.triggers),
    ]
    for tenant_id in tenants:
        if tenant_id is not None and not is_tenant_id(tenant_id):
            yield "automation.tenant must be 1 to 128 letters, digits, '_', '.' or '-'"


def _job(job: _Job, section: _Section, path: str, now: datetime) -> Automation:
    if job.catch_up_policy not in _CATCH_UPS:
        raise DefinitionError(f"{path}.catch_up_policy must be one of {', '.join(_CATCH_UPS)}")
    details = Details(
        retry=job.retry,
        schedule=job.schedule,
        catch_up=_CATCH_UPS[job.catch_up_policy],
        misfire_grace_seconds=job.misfire_grace_seconds,
        task=job.task,
    )
    return _definition(Kind.JOB, "jobcfg_", job, section, details, now)


def _trigger(trigger: _Trigger, section: _Section, path: str, now: datetime) -> Automation:
    ref = trigger.webhook_secret_ref
    if ref and not _REF.fullmatch(ref):
        raise DefinitionError(
            f"{path}.webhook_secret_ref must be env:NAME or vault:automation/PATH: {ref[:200]}"
        )
    if trigger.event == WEBHOOK_EVENT and not trigger.endpoint_slug:
        raise DefinitionError(f'{path}.endpoint_slug is required when event is "webhook"')
    details = Details(
        retry=trigger.retry,
        filter=trigger.filter,
        signature=trigger.webhook_signature,
        secret_ref=ref if trigger.event == WEBHOOK_EVENT else "",
    )
    one = _definition(Kind.TRIGGER, "trgcfg_", trigger, section, details, now)
    webhook_id = one.id.replace("trgcfg_", "wbh_") if one.event == WEBHOOK_EVENT else ""
    return msgspec.structs.replace(
        one, event=trigger.event.strip(), endpoint_slug=trigger.endpoint_slug.strip(), webhook_id=webhook_id
    )


def _definition(
    kind: Kind, prefix: str, one: _Job | _Trigger, section: _Section, details: Details, now: datetime
) -> Automation:
    tenant_id = one.tenant or section.tenant
    scope, workspace_id, name = one.scope.strip(), one.workspace.strip(), one.name.strip()
    return Automation(
        id=prefix + config_digest(tenant_id, scope, workspace_id, name),
        tenant_id=tenant_id,
        kind=kind,
        scope=scope,
        workspace_id=workspace_id,
        name=name,
        agent_name=one.agent.strip(),
        prompt=one.prompt.strip(),
        enabled=one.enabled,
        configured_enabled=one.enabled,
        fire_limit=one.fire_limit or section.default_fire_limit,
        source=Source.CONFIG,
        event=one.event if isinstance(one, _Trigger) else "",
        details=details,
        created_by="config",
        created_at=now,
        updated_at=now,
    )


def _refuse_doubles(definitions: Iterable[Automation]) -> None:
    seen: set[str] = set()
    for one in definitions:
        if one.id in seen:
            raise DefinitionError(f"automation {one.kind.value} {one.name!r} is there twice in its scope")
        seen.add(one.id)
