"""The part of a plan that is about automations: jobs and triggers of AGH's API."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from runwright.cli.deploy.model import Act, FieldChange, ResourceChange, changed_fields
from runwright.cli.deploy.server_state import ServerState
from runwright.cli.project.model import Project, ProjectAutomation

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.automations import AutomationInfo

JOBS, TRIGGERS = "jobs", "triggers"
WEBHOOK_EVENT: Final = "webhook"
_NO_RETRY: Final = {"strategy": "none", "max_retries": 0, "base_delay": ""}
_DYNAMIC: Final = "dynamic"


def kind_of(automation: ProjectAutomation) -> str:
    """Return what AGH calls it."""
    return JOBS if automation.schedule is not None else TRIGGERS


def plan_automations(project: Project, state: ServerState) -> Iterator[ResourceChange]:
    """Yield what happens to each automation, also to those that the project does not have."""
    existing = {
        (kind, one["name"], one.get("workspace_id", "")): one
        for kind, found in state.automations.items()
        for one in found
        if one.get("source", _DYNAMIC) == _DYNAMIC
    }
    for automation in project.automations:
        kind = kind_of(automation)
        match = existing.pop((kind, automation.name, automation.workspace), None)
        yield _plan_one(automation, kind, match)
    for (kind, name, _), one in existing.items():
        yield ResourceChange(
            kind=f"automation {kind[:-1]}", act=Act.DELETE, name=name, id=one["id"], about=_about(one)
        )


def _plan_one(automation: ProjectAutomation, kind: str, match: Mapping[str, Any] | None) -> ResourceChange:
    body = body_of(automation)
    change = ResourceChange(
        kind=f"automation {kind[:-1]}", act=Act.CREATE, name=automation.name, body=body, about=_about(body)
    )
    if match is not None:
        change.id = match["id"]
        change.fields = list(_differing(match, body))
        change.act = Act.UPDATE if change.fields else Act.NONE
        change.body = {field.name: field.new for field in change.fields}
    return change


def _differing(match: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[FieldChange]:
    """Yield what differs; a field that the server leaves out has its default, which is empty."""
    for field in changed_fields(match, body):
        if field.name == "scope" or (field.old is None and field.new in ("", {}, [])):
            continue
        yield field


def body_of(automation: ProjectAutomation) -> dict[str, Any]:
    """Return an automation as the API takes it."""
    body: dict[str, Any] = {
        "scope": "workspace" if automation.workspace else "global",
        "workspace_id": automation.workspace,
        "name": automation.name,
        "agent_name": automation.agent,
        "prompt": automation.prompt,
        "enabled": automation.enabled,
        "retry": _retry(automation),
    }
    if automation.fire_limit is not None:
        body["fire_limit"] = {"max": automation.fire_limit.max, "window": automation.fire_limit.window}
    if automation.schedule is not None:
        return body | {"schedule": _schedule(automation.schedule)}
    return body | {"event": automation.event, "filter": automation.filter} | _webhook_fields(automation)


def _webhook_fields(automation: ProjectAutomation) -> dict[str, Any]:
    if automation.event != WEBHOOK_EVENT:
        return {}
    signature = {"webhook_signature": automation.webhook_signature} if automation.webhook_signature else {}
    return {"endpoint_slug": automation.endpoint_slug or automation.name, **signature}


def _retry(automation: ProjectAutomation) -> dict[str, Any]:
    if automation.retry is None:
        return _NO_RETRY
    retry = automation.retry
    return {"strategy": "backoff", "max_retries": retry.max_retries, "base_delay": retry.base_delay}


def _schedule(text: str) -> dict[str, str]:
    """Return a schedule: `every:10m`, `at:2026-05-01T09:00:00Z`, or a cron expression."""
    mode, _, rest = text.partition(":")
    if mode == "every":
        return {"mode": "every", "interval": rest.strip()}
    if mode == "at":
        return {"mode": "at", "time": rest.strip()}
    return {"mode": "cron", "expr": text.strip()}


def _about(one: Mapping[str, Any]) -> str:
    schedule = one.get("schedule")
    if isinstance(schedule, dict):
        return str(schedule.get("expr") or schedule.get("interval") or schedule.get("time"))
    return f"on {one.get('event')}"


def api_of(client: "Runwright", change: ResourceChange) -> Any:  # noqa: ANN401  of jobs or triggers, which are alike
    """Return the part of the SDK for the automation that a change is about."""
    return getattr(client.automations, f"{change.kind.removeprefix('automation ')}s")


def send_automation(client: "Runwright", change: ResourceChange, secret: str | None) -> "AutomationInfo":
    """Create or update an automation, and return it."""
    body = change.body if secret is None else {**change.body, "webhook_secret_value": secret}
    api = api_of(client, change)
    made: AutomationInfo = api.update(change.id, **body) if change.id else api.create(**body)
    return made
