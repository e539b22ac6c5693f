"""The route of `/v1/ava/check`: whether definitions would be accepted, before any is created."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from runwright.automations.errors import DefinitionError
from runwright.automations.model import WEBHOOK_EVENT, AutomationCreate, JobDefinition, TriggerDefinition
from runwright.core.errors import InvalidError, MalformedError, QuotaError
from runwright.http.ava.authorization import WRITES
from runwright.http.ava.checks.schemas import (
    CHECK,
    MOST_DEFINITIONS,
    CheckIn,
    CheckOut,
    SchemaPart,
    VersionPart,
    WorkerCheckIn,
)
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data
from runwright.http.ava.schedules.schemas import CHECK_SCHEDULE
from runwright.http.ava.webhooks.schemas import CREATE_WEBHOOK
from runwright.http.ava.workers.rules import check_input_schema
from runwright.http.ava.workers.schemas import CREATE_WORKER, new_worker, require_runtime, require_version
from runwright.http.fields import require_url
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.http.trigger_events import event_warning
from runwright.http.validation import Problems, Validator

S = TypeVar("S", bound=msgspec.Struct)

ROUTES: Final = Routes(AVA, "/v1/ava/check", tag="Workers")

_CheckOne = Callable[[msgspec.Raw, str], Awaitable[None]]
_FIELD: Final = re.compile(r"(?:job|trigger)\.([\w.\[\]-]+) (.*)", re.DOTALL)
_VERSION: Final = Validator(VersionPart, lenient=True)
_SCHEMA: Final = Validator(SchemaPart, {"input_schema": check_input_schema}, lenient=True)
_JOB: Final = Validator(JobDefinition)
_TRIGGER: Final = Validator(TriggerDefinition)
_UNUSED_SECRET: Final = "checked without its secret"  # noqa: S105  none, but a webhook needs one


@ROUTES.add(
    "POST",
    "",
    WRITES,
    "Check definitions",
    status=200,
    body=CheckIn,
    errors=(422,),
    example={
        "workers": [
            {
                "definition": {"name": "Greeter", "runtime": "python"},
                "schedules": [{"cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"}],
            }
        ],
        "webhooks": [{"url": "https://hooks.example.com/runwright", "events": ["ava.job.failed"]}],
    },
)
async def check_definitions(request: Request) -> Data[CheckOut]:
    """Checks definitions as the requests would that create them, and creates nothing.

    All that is wrong is named at once, by its place in this body, such as `workers.0.definition.memory_mb`.
    """
    body = await request.body(CHECK)
    if sum(len(one.schedules) for one in body.workers) > MOST_DEFINITIONS:
        raise InvalidError({"workers": [f"Must have at most {MOST_DEFINITIONS} schedules together."]})
    check = _Check(request)
    await check.everything(body)
    check.problems.raise_if_any()
    return Data(CheckOut(valid=True, warnings=check.warnings))


class _Check:
    """One request's check."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._services = request.services
        self.problems = Problems()
        self.warnings: dict[str, list[str]] = {}

    async def everything(self, body: CheckIn) -> None:
        """Check all definitions, in their order, until there are too many problems to name."""
        for n, worker in enumerate(body.workers):
            await self._workers(worker, f"workers.{n}")
        for n, webhook in enumerate(body.webhooks):
            await self._one(f"webhooks.{n}", self._webhook, webhook)
        for n, job in enumerate(body.automation_jobs):
            await self._one(f"automation_jobs.{n}", self._job, job)
        for n, trigger in enumerate(body.automation_triggers):
            await self._one(f"automation_triggers.{n}", self._trigger, trigger)

    async def _one(self, place: str, check: _CheckOne, definition: msgspec.Raw) -> bool:
        """Check one definition, and return whether it is valid."""
        if self.problems.full:
            return False
        await asyncio.sleep(0)  # requests of others are served in between
        try:
            await check(definition, place)
        except InvalidError as error:
            for field, messages in error.fields.items():
                for message in messages:
                    self.problems.add(f"{place}.{field}", message)
        except (MalformedError, QuotaError) as error:
            self.problems.add(place, error.message)
        except DefinitionError as error:
            path, message = _read_definition_error(error.message)
            self.problems.add_below(place, path, message)
        else:
            return True
        return False

    async def _workers(self, worker: WorkerCheckIn, place: str) -> None:
        is_valid = True
        for check in (self._worker, self._version, self._schema):
            is_valid = await self._one(f"{place}.definition", check, worker.definition) and is_valid
        part = await self._part(_SCHEMA, worker.definition) if is_valid and worker.schedules else None
        schema = None if part is None else part.input_schema

        async def check_schedule(definition: msgspec.Raw, _place: str) -> None:
            await self._schedule(definition, schema)

        for n, schedule in enumerate(worker.schedules):
            await self._one(f"{place}.schedules.{n}", check_schedule, schedule)

    async def _part(self, validator: Validator[S], definition: msgspec.Raw) -> S | None:
        """Return a part of a definition; None where it is wrong, which the check of the whole reports."""
        try:
            return await self._request.validate(validator, bytes(definition))
        except (InvalidError, MalformedError):
            return None

    async def _worker(self, definition: msgspec.Raw, _place: str) -> None:
        rule = {"runtime": require_runtime(await self._services.reports.runtimes())}
        body = await self._request.validate(CREATE_WORKER.with_rules(rule), bytes(definition))
        await self._services.workers.check(self._request.tenant_id, new_worker(body))

    async def _version(self, definition: msgspec.Raw, _place: str) -> None:
        """Check the release line, also where other fields are wrong."""
        version = await self._part(_VERSION, definition)
        if version is not None and version.runtime is not None:
            runtimes = await self._services.reports.runtimes()
            require_version(runtimes[version.runtime.value], version.runtime_version)

    async def _schema(self, definition: msgspec.Raw, _place: str) -> None:
        """Check the input schema, also where other fields are wrong."""
        part = await self._part(_SCHEMA, definition)
        if part is not None and part.input_schema is not None:
            await self._services.workers.check_schema(self._request.tenant_id, part.input_schema)

    async def _schedule(self, definition: msgspec.Raw, schema: dict[str, Any] | None) -> None:
        body = await self._request.validate(CHECK_SCHEDULE, bytes(definition))
        await self._services.schedules.preview_of(body.cron, body.timezone, 1)
        if schema is not None:
            await self._services.workers.check_input(self._request.tenant_id, schema, bytes(body.input))

    async def _webhook(self, definition: msgspec.Raw, _place: str) -> None:
        rule = {"url": require_url(self._services.outgoing)}
        await self._request.validate(CREATE_WEBHOOK.with_rules(rule), bytes(definition))

    async def _job(self, definition: msgspec.Raw, _place: str) -> None:
        job = await self._request.validate(_JOB, bytes(definition))
        await self._automation(job, None)

    async def _trigger(self, definition: msgspec.Raw, place: str) -> None:
        trigger = await self._request.validate(_TRIGGER, bytes(definition))
        await self._automation(trigger, _UNUSED_SECRET if trigger.event == WEBHOOK_EVENT else None)
        warning = event_warning(trigger.event)
        if warning is not None:
            self.warnings[f"{place}.event"] = [warning]

    async def _automation(self, definition: JobDefinition | TriggerDefinition, secret: str | None) -> None:
        new = AutomationCreate(definition=definition, secret=secret)
        await self._services.automations.definitions.check(self._request.caller, new)


def _read_definition_error(message: str) -> tuple[str, str]:
    """Return the field, empty for the whole, and the message of `job.retry.max_retries must be …`."""
    found = _FIELD.match(message)
    if found is None:
        return "", _sentence(message)
    return found[1], _sentence(found[2])


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
