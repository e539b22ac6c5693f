"""The requests and responses of jobs."""

from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.automations.definitions import AutomationView
from runwright.automations.errors import DefinitionError
from runwright.automations.filters import AutomationFilter
from runwright.automations.model import (
    CATCH_UP_POLICIES,
    AutomationCreate,
    AutomationPatch,
    AutomationScope,
    DefinitionSource,
    FireLimit,
    JobDefinition,
    JobFields,
    RunRetryPolicy,
    ScheduleSpec,
)
from runwright.automations.rules import quoted
from runwright.core.struct_fields import patch_type, set_fields
from runwright.http.agh.fields import NextCursor, Time, copied_fields, shown, shown_fields
from runwright.http.agh.requests import PageQuery
from runwright.schedules.store.automation_schedules import ScheduleState
from runwright.schedules.tick_policy import CatchUp

_POLICY_NAMES: Final = {policy: name for name, policy in CATCH_UP_POLICIES.items()}
_PolicyName = Annotated[
    str,
    Meta(
        description="`skip_missed`, `run_once` (the latest) or `run_all` (the latest 100).",
        extra_json_schema={"enum": list(CATCH_UP_POLICIES)},
    ),
]
_Grace = Annotated[int, Meta(description="A fire that is later than this is missed.")]


class SchedulerIn(msgspec.Struct, frozen=True, kw_only=True):
    """How late fires are handled (a Runwright extension)."""

    openapi_name: ClassVar[str] = "SchedulerBody"

    catch_up_policy: _PolicyName | UnsetType = UNSET
    misfire_grace_seconds: _Grace | UnsetType = UNSET


class JobIn(JobFields, frozen=True, kw_only=True):
    """A job to create. `agent_name` and `prompt` are required unless it has a task."""

    openapi_name: ClassVar[str] = "CreateJobBody"

    agent_name: Annotated[str, Meta(description="A worker or a registered agent.")] = ""
    prompt: str = ""
    schedule: ScheduleSpec
    scheduler: SchedulerIn | UnsetType = UNSET


JobPatch: Final = patch_type(
    "ChangeJobBody",
    JobIn,
    "Changes of a job. Fields that are left out or null stay unchanged.",
    without=("scope",),
)


class JobQuery(PageQuery, frozen=True, kw_only=True):
    """Which jobs to list."""

    scope: Annotated[str, Meta(extra_json_schema={"enum": list(AutomationScope)})] | UnsetType = UNSET
    workspace_id: str | UnsetType = UNSET
    source: Annotated[str, Meta(extra_json_schema={"enum": list(DefinitionSource)})] | UnsetType = UNSET

    def filter(self) -> AutomationFilter:
        """Return which automations to list. Raises DefinitionError if the query is invalid."""
        given = set_fields(self)
        which = AutomationFilter(**{name: given.get(name) for name in AutomationFilter.__struct_fields__})
        if which.scope not in {None, *AutomationScope}:
            raise DefinitionError(
                f'scope must be one of "global" or "workspace": {quoted(which.scope or "")}'
            )
        if which.source not in {None, *DefinitionSource}:
            names = '"config", "package", or "dynamic"'
            raise DefinitionError(f"source must be one of {names}: {quoted(which.source or '')}")
        if which.scope == AutomationScope.GLOBAL and which.workspace_id is not None:
            raise DefinitionError('workspace_id must be empty when scope is "global"')
        return which


class SchedulerOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of a job's schedule."""

    job_id: str
    registered: bool
    next_run_at: Time = ""
    last_run_at: Time = ""
    last_scheduled_at: Time = ""
    last_fire_id: str = ""
    catch_up_policy: _PolicyName = ""
    misfire_grace_seconds: _Grace = 0
    consecutive_resume_failures: int = 0
    last_misfire_at: Time = ""
    misfire_count: int = 0
    updated_at: Time = ""


class JobOut(JobFields, frozen=True, kw_only=True, omit_defaults=True):
    """A prompt that a schedule fires."""

    id: str
    enabled: bool
    retry: RunRetryPolicy
    fire_limit: FireLimit
    source: Annotated[str, Meta(extra_json_schema={"enum": list(DefinitionSource)})]
    next_run: Time = ""
    scheduler: SchedulerOut | None = None
    created_at: Time
    updated_at: Time


class JobEnvelope(msgspec.Struct, frozen=True):
    """One job."""

    job: JobOut


class JobList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Jobs by name."""

    jobs: list[JobOut]
    next_cursor: NextCursor = ""


def job_create(body: JobIn) -> AutomationCreate:
    """Return the definition of a body."""
    fields = set_fields(body)
    scheduler = {name: value for name, value in _scheduler_fields(fields).items() if value != 0}
    return AutomationCreate(definition=JobDefinition(**fields, **scheduler))


def job_patch(body: msgspec.Struct) -> AutomationPatch:
    """Return the changes of a body."""
    fields = set_fields(body)
    scheduler = _scheduler_fields(fields)
    return AutomationPatch(fields=fields | scheduler)


def _scheduler_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Take `scheduler` out of the fields of a body, and return the fields of a definition that it sets."""
    scheduler = set_fields(fields.pop("scheduler", SchedulerIn()))
    name = scheduler.pop("catch_up_policy", None)
    if name is None:
        return scheduler
    if name and name not in CATCH_UP_POLICIES:
        names = ", ".join(quoted(known) for known in CATCH_UP_POLICIES)
        raise DefinitionError(f"job.scheduler.catch_up_policy must be one of {names}: {quoted(name)}")
    return scheduler | {"catch_up": CATCH_UP_POLICIES.get(name, CatchUp.NONE)}


def job_out(view: AutomationView) -> JobOut:
    """Return a job as the API shows it."""
    one, state = view.automation, view.schedule
    return JobOut(
        **copied_fields(one.job, JobOut),
        next_run="" if state is None else str(shown(state.next_run_at)),
        scheduler=None if state is None else _scheduler_out(one.id, state),
        **shown_fields(one, JobOut),
    )


def _scheduler_out(job_id: str, state: ScheduleState) -> SchedulerOut:
    return SchedulerOut(
        **shown_fields(state, SchedulerOut),
        catch_up_policy=_POLICY_NAMES[state.catch_up],
        job_id=job_id,
        registered=True,
        last_scheduled_at=str(shown(state.last_tick_at)),
        last_fire_id=(state.last_run_id or "").replace("run_", "fire_", 1),
        misfire_count=state.misfires,
        updated_at=str(shown(state.moved_at)),
    )
