"""Read definitions from a TOML file with `[automation]`, `[[automation.jobs]]` and `[[automation.triggers]]`.

One invalid definition makes the whole file invalid; the error message begins with the path of the definition
(`automation.jobs[0].schedule.mode`).
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar, get_args

import msgspec

from runwright.automations.errors import DefinitionError
from runwright.automations.ids import DEFAULT_TENANT, config_digest
from runwright.automations.model import (
    CATCH_UP_POLICIES,
    DEFAULT_FIRE_LIMIT,
    NO_RETRY,
    SHORT_NAMES,
    WEBHOOK_EVENT,
    AnyDefinition,
    Automation,
    DefinitionSource,
    FireLimit,
    JobDefinition,
    JobFields,
    TriggerDefinition,
)
from runwright.automations.rules import check, fire_limit_problems
from runwright.core.struct_fields import set_fields
from runwright.cron.zones import UnknownZoneError, find_zone
from runwright.schedules.model import DEFAULT_GRACE_SECONDS
from runwright.tenants.model import is_tenant_id

T = TypeVar("T")

_REF: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|vault:automation/[A-Za-z0-9_/.-]{1,200}", re.ASCII)
_LOCATED: Final = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)
_GENERATED: Final = frozenset({"webhook_id"})
"""Fields that cannot be set in the file."""
_PARTIAL: Final[Mapping[str, Mapping[str, object]]] = {
    "retry": msgspec.structs.asdict(NO_RETRY),
    "fire_limit": msgspec.structs.asdict(DEFAULT_FIRE_LIMIT),
    "default_fire_limit": msgspec.structs.asdict(DEFAULT_FIRE_LIMIT),
    "schedule": {"mode": ""},
}
"""Tables that may be incomplete, with their defaults."""


def _entry_type(base: type[msgspec.Struct], **added: tuple[Any, Any]) -> type[msgspec.Struct]:
    """Return the type of an entry: the optional fields of a definition, and further ones with defaults."""
    fields = [
        (field.name, field.type, _default_of(field))
        for field in msgspec.structs.fields(base)
        if field.name not in _GENERATED
    ]
    fields += [(name, kind, default) for name, (kind, default) in added.items()]
    return msgspec.defstruct("_Entry", fields, frozen=True, kw_only=True, rename=dict(SHORT_NAMES))


def _default_of(field: msgspec.structs.FieldInfo) -> Any:  # noqa: ANN401  of the field's type
    if field.required:
        return None if type(None) in get_args(field.type) else ""
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default


_TENANT: Final = (str | None, None)
_JOB: Final = _entry_type(
    JobFields,
    tenant=_TENANT,
    catch_up_policy=(str, "skip_missed"),
    misfire_grace_seconds=(int, DEFAULT_GRACE_SECONDS),
)
_TRIGGER: Final = _entry_type(TriggerDefinition, tenant=_TENANT)


class _Section(msgspec.Struct, frozen=True, kw_only=True):
    enabled: bool = True
    timezone: str | None = None
    max_concurrent_jobs: int | None = None
    default_fire_limit: FireLimit = DEFAULT_FIRE_LIMIT
    tenant: str = DEFAULT_TENANT
    jobs: list[dict[str, Any]] = []
    triggers: list[dict[str, Any]] = []


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a file; settings that it leaves to the server are None."""

    enabled: bool
    zone: str | None
    concurrency: int | None
    default_limit: FireLimit
    definitions: list[Automation]


def read_config(text: str, *, zone: str, now: datetime) -> ConfigFile:
    """Return the contents of a file; `zone` applies to cron expressions if the file names none.

    Raises DefinitionError, which names the invalid field.
    """
    try:
        section = _convert(tomllib.loads(text).get("automation", {}), _Section, "automation")
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"is no TOML: {error}") from None
    for message in _section_problems(section):
        raise DefinitionError(message)
    zone = section.timezone or zone
    definitions = [
        *(_read_job(entry, section, number, zone, now) for number, entry in enumerate(section.jobs)),
        *(_read_trigger(entry, section, number, zone, now) for number, entry in enumerate(section.triggers)),
    ]
    _refuse_duplicates(definitions)
    return ConfigFile(
        enabled=section.enabled,
        zone=section.timezone,
        concurrency=section.max_concurrent_jobs,
        default_limit=section.default_fire_limit,
        definitions=definitions,
    )


def _convert(table: object, kind: type[T], path: str) -> T:
    if isinstance(table, dict):
        table = {
            name: {**_PARTIAL[name], **value} if name in _PARTIAL and isinstance(value, dict) else value
            for name, value in table.items()
        }
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        found = _LOCATED.fullmatch(str(error))
        message = f"{path}{found[2]}: {found[1]}" if found else f"{path}: {error}"
        raise DefinitionError(message) from None


def _section_problems(section: _Section) -> Iterable[str]:
    if section.timezone is not None:
        try:
            find_zone(section.timezone)
        except UnknownZoneError as error:
            yield f"automation.timezone is invalid: {error}"
    if section.max_concurrent_jobs is not None and section.max_concurrent_jobs <= 0:
        yield f"automation.max_concurrent_jobs must be positive: {section.max_concurrent_jobs}"
    yield from fire_limit_problems(section.default_fire_limit, "automation.default_fire_limit")
    if not is_tenant_id(section.tenant):
        yield _bad_tenant("automation")


def _bad_tenant(path: str) -> str:
    return f"{path}.tenant must be 1 to 128 letters, digits, '_', '.' or '-'"


def _read_job(entry: object, section: _Section, number: int, zone: str, now: datetime) -> Automation:
    path = f"automation.jobs[{number}]"
    tenant_id, values = _read_entry(entry, _JOB, section, path)
    policy = values.pop("catch_up_policy")
    if policy not in CATCH_UP_POLICIES:
        raise DefinitionError(f"{path}.catch_up_policy must be one of {', '.join(CATCH_UP_POLICIES)}")
    job = JobDefinition(catch_up=CATCH_UP_POLICIES[policy], **values)
    check(job, path, zone=zone, has_secret=False)
    return _automation(tenant_id, job, now)


def _read_trigger(entry: object, section: _Section, number: int, zone: str, now: datetime) -> Automation:
    path = f"automation.triggers[{number}]"
    tenant_id, values = _read_entry(entry, _TRIGGER, section, path)
    trigger = TriggerDefinition(**values)
    ref = trigger.webhook_secret_ref
    if ref and not _REF.fullmatch(ref):
        raise DefinitionError(
            f"{path}.webhook_secret_ref must be env:NAME or vault:automation/PATH: {ref[:200]}"
        )
    if trigger.event == WEBHOOK_EVENT:
        if not trigger.endpoint_slug:
            raise DefinitionError(f'{path}.endpoint_slug is required when event is "webhook"')
        webhook_id = f"wbh_{_digest(tenant_id, trigger)}"
        trigger = msgspec.structs.replace(trigger, webhook_id=webhook_id)
    check(trigger, path, zone=zone, has_secret=bool(ref))
    return _automation(tenant_id, trigger, now)


def _read_entry(
    entry: object, kind: type[msgspec.Struct], section: _Section, path: str
) -> tuple[str, dict[str, Any]]:
    """Return the tenant of an entry and its other fields, with texts trimmed."""
    values = {
        name: value.strip() if isinstance(value, str) else value
        for name, value in set_fields(_convert(entry, kind, path)).items()
    }
    tenant_id = values.pop("tenant") or section.tenant
    if not is_tenant_id(tenant_id):
        raise DefinitionError(_bad_tenant(path))
    return tenant_id, values | {"fire_limit": values["fire_limit"] or section.default_fire_limit}


def _digest(tenant_id: str, definition: AnyDefinition) -> str:
    return config_digest(
        tenant_id=tenant_id,
        scope=definition.scope,
        workspace_id=definition.workspace_id,
        name=definition.name,
    )


def _automation(tenant_id: str, definition: AnyDefinition, now: datetime) -> Automation:
    prefix = "jobcfg_" if isinstance(definition, JobDefinition) else "trgcfg_"
    return Automation(
        id=prefix + _digest(tenant_id, definition),
        tenant_id=tenant_id,
        source=DefinitionSource.CONFIG,
        configured_enabled=definition.enabled,
        definition=definition,
        created_by="config",
        created_at=now,
        updated_at=now,
    )


def _refuse_duplicates(definitions: Iterable[Automation]) -> None:
    seen: set[str] = set()
    for one in definitions:
        if one.id in seen:
            raise DefinitionError(
                f"automation {one.kind} {one.definition.name!r} is there twice in its scope"
            )
        seen.add(one.id)
