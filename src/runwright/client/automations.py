"""`rw.automations`: prompts for agents, on a schedule, on an event, on a webhook."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, Literal, Unpack

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.automations import (
    AutomationAttemptInfo,
    AutomationEventInfo,
    AutomationJobInfo,
    AutomationJobOptions,
    AutomationJobUpdate,
    AutomationListing,
    AutomationRunInfo,
    AutomationTaskInfo,
    AutomationTriggerInfo,
    AutomationTriggerOptions,
    AutomationTriggerUpdate,
    RunListing,
)
from runwright.client.pagination import PageSource, Results

_PAGE: Final = {"limit": 500}
_JOB, _TRIGGER, _RUN, _TASK = "job", "trigger", "run", "task"
_DEFAULT_WAIT: Final = 30.0

AutomationScopeName = Literal["global", "workspace"]


class AutomationsApi(DualMode[M]):
    """Automations: `jobs`, `triggers`, `runs` and `tasks`."""

    @cached_property
    def jobs(self) -> "AutomationJobsApi[M]":
        """Prompts on a schedule."""
        return AutomationJobsApi(self._session)

    @cached_property
    def triggers(self) -> "AutomationTriggersApi[M]":
        """Prompts for events and webhooks."""
        return AutomationTriggersApi(self._session)

    @cached_property
    def runs(self) -> "AutomationRunsApi[M]":
        """The firings of jobs and triggers."""
        return AutomationRunsApi(self._session)

    @cached_property
    def tasks(self) -> "AutomationTasksApi[M]":
        """Tasks that runs have created."""
        return AutomationTasksApi(self._session)

    @call
    async def publish(
        self,
        event: str,
        data: Mapping[str, object] | None = None,
        *,
        workspace_id: str = "",
        idempotency_key: str = "",
    ) -> AutomationEventInfo:
        """Publish an event, which fires the triggers of its scope."""
        body = {
            "event": event,
            "data": data or {},
            "workspace_id": workspace_id,
            "idempotency_key": idempotency_key,
        }
        return await self._session.read(
            AutomationEventInfo, "POST /api/automation/events", json=body, member="event"
        )


class AutomationJobsApi(DualMode[M]):
    """Prompts on a schedule."""

    def list(self, **listing: Unpack[AutomationListing]) -> Results[M, AutomationJobInfo]:
        """Return jobs by name."""
        source = PageSource(
            into=AutomationJobInfo,
            route="GET /api/automation/jobs",
            query={**_PAGE, **listing},
            member="jobs",
        )
        return Results(self._session, source)

    @call
    async def get(self, job_id: str) -> AutomationJobInfo:
        """Return a job."""
        return await self._session.read(
            AutomationJobInfo, "GET /api/automation/jobs/{job_id}", job_id, member=_JOB
        )

    @call
    async def create(
        self,
        scope: AutomationScopeName,
        name: str,
        schedule: Mapping[str, object],
        **options: Unpack[AutomationJobOptions],
    ) -> AutomationJobInfo:
        """Create a job; `schedule` is for example `{"mode": "cron", "expr": "0 8 * * mon-fri"}`."""
        body = {"scope": scope, "name": name, "schedule": schedule, **options}
        return await self._session.read(
            AutomationJobInfo, "POST /api/automation/jobs", json=body, member=_JOB
        )

    @call
    async def update(self, job_id: str, **changes: Unpack[AutomationJobUpdate]) -> AutomationJobInfo:
        """Change the given fields of a job; objects are replaced as a whole."""
        return await self._session.read(
            AutomationJobInfo, "PATCH /api/automation/jobs/{job_id}", job_id, json=changes, member=_JOB
        )

    @call
    async def delete(self, job_id: str) -> None:
        """Delete a job; its runs are kept."""
        await self._session.send("DELETE /api/automation/jobs/{job_id}", job_id)

    @call
    async def trigger(self, job_id: str, *, wait: float = _DEFAULT_WAIT) -> AutomationRunInfo:
        """Fire a job now, and return its run when it has ended, or as it is after `wait` seconds."""
        return await self._session.read(
            AutomationRunInfo,
            "POST /api/automation/jobs/{job_id}/trigger",
            job_id,
            query={"wait": wait},
            member=_RUN,
            wait=wait,
        )

    def runs(self, job_id: str, **listing: Unpack[RunListing]) -> Results[M, AutomationRunInfo]:
        """Return the runs of a job, newest first."""
        return Results(self._session, _runs("GET /api/automation/jobs/{job_id}/runs", job_id, listing))


class AutomationTriggersApi(DualMode[M]):
    """Prompts for events and webhooks."""

    def list(
        self, *, event: str | None = None, **listing: Unpack[AutomationListing]
    ) -> Results[M, AutomationTriggerInfo]:
        """Return triggers by name."""
        source = PageSource(
            into=AutomationTriggerInfo,
            route="GET /api/automation/triggers",
            query={**_PAGE, "event": event, **listing},
            member="triggers",
        )
        return Results(self._session, source)

    @call
    async def get(self, trigger_id: str) -> AutomationTriggerInfo:
        """Return a trigger."""
        route = "GET /api/automation/triggers/{trigger_id}"
        return await self._session.read(AutomationTriggerInfo, route, trigger_id, member=_TRIGGER)

    @call
    async def create(
        self, scope: AutomationScopeName, name: str, event: str, **options: Unpack[AutomationTriggerOptions]
    ) -> AutomationTriggerInfo:
        """Create a trigger for an event, or `webhook`."""
        body = {"scope": scope, "name": name, "event": event, **options}
        return await self._session.read(
            AutomationTriggerInfo, "POST /api/automation/triggers", json=body, member=_TRIGGER
        )

    @call
    async def update(
        self, trigger_id: str, **changes: Unpack[AutomationTriggerUpdate]
    ) -> AutomationTriggerInfo:
        """Change the given fields of a trigger; objects are replaced as a whole."""
        route = "PATCH /api/automation/triggers/{trigger_id}"
        return await self._session.read(
            AutomationTriggerInfo, route, trigger_id, json=changes, member=_TRIGGER
        )

    @call
    async def delete(self, trigger_id: str) -> None:
        """Delete a trigger; its runs are kept."""
        await self._session.send("DELETE /api/automation/triggers/{trigger_id}", trigger_id)

    def runs(self, trigger_id: str, **listing: Unpack[RunListing]) -> Results[M, AutomationRunInfo]:
        """Return the runs of a trigger, newest first."""
        source = _runs("GET /api/automation/triggers/{trigger_id}/runs", trigger_id, listing)
        return Results(self._session, source)


class AutomationRunsApi(DualMode[M]):
    """The firings of jobs and triggers."""

    def list(
        self, *, job_id: str | None = None, trigger_id: str | None = None, **listing: Unpack[RunListing]
    ) -> Results[M, AutomationRunInfo]:
        """Return runs, newest first."""
        source = PageSource(
            into=AutomationRunInfo,
            route="GET /api/automation/runs",
            query={**_PAGE, "job_id": job_id, "trigger_id": trigger_id, **listing},
            member="runs",
        )
        return Results(self._session, source)

    @call
    async def get(self, run_id: str) -> AutomationRunInfo:
        """Return a run."""
        return await self._session.read(
            AutomationRunInfo, "GET /api/automation/runs/{run_id}", run_id, member=_RUN
        )

    @call
    async def attempts(self, run_id: str) -> Sequence[AutomationAttemptInfo]:
        """Return the attempts of a run, in order."""
        route = "GET /api/automation/runs/{run_id}/attempts"
        return await self._session.read_list(AutomationAttemptInfo, route, run_id, member="attempts")

    @call
    async def retry(self, run_id: str) -> AutomationRunInfo:
        """Run an ended run again; return the new one."""
        return await self._session.read(
            AutomationRunInfo, "POST /api/automation/runs/{run_id}/retry", run_id, member=_RUN
        )

    @call
    async def cancel(self, run_id: str) -> AutomationRunInfo:
        """Cancel a run that has not ended."""
        return await self._session.read(
            AutomationRunInfo, "POST /api/automation/runs/{run_id}/cancel", run_id, member=_RUN
        )


class AutomationTasksApi(DualMode[M]):
    """Tasks that runs have created."""

    def list(self, *, status: str | None = None) -> Results[M, AutomationTaskInfo]:
        """Return tasks, newest first."""
        source = PageSource(
            into=AutomationTaskInfo, route="GET /api/tasks", query={**_PAGE, "status": status}, member="tasks"
        )
        return Results(self._session, source)

    @call
    async def get(self, task_id: str) -> AutomationTaskInfo:
        """Return a task."""
        return await self._session.read(AutomationTaskInfo, "GET /api/tasks/{task_id}", task_id, member=_TASK)

    @call
    async def update(
        self, task_id: str, *, status: str | None = None, owner: Mapping[str, str] | None = None
    ) -> AutomationTaskInfo:
        """Set the status or the owner of a task."""
        given = {"status": status, "owner": owner}
        body = {name: value for name, value in given.items() if value is not None}
        route = "PATCH /api/tasks/{task_id}"
        return await self._session.read(AutomationTaskInfo, route, task_id, json=body, member=_TASK)


def _runs(route: str, automation_id: str, listing: RunListing) -> PageSource[AutomationRunInfo]:
    return PageSource(
        into=AutomationRunInfo,
        route=route,
        ids=(automation_id,),
        query={**_PAGE, **listing},
        member="runs",
    )
