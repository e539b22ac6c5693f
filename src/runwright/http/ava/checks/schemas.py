"""The schemas of checks."""

from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from runwright.http.ava.envelopes import JsonObject
from runwright.http.validation import Validator
from runwright.workers.model import RuntimeName

MOST_DEFINITIONS: Final = 500
"""Of each kind, and of all schedules."""


class WorkerCheckIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A worker to check, and its schedules."""

    openapi_name: ClassVar[str] = "CheckedWorker"

    definition: Annotated[JsonObject, Meta(description="As the body that creates it.")]
    schedules: Annotated[
        list[JsonObject], Meta(description="As the bodies that create them, without `worker_id`.")
    ] = []


class CheckIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The definitions to check."""

    openapi_name: ClassVar[str] = "CheckDefinitionsBody"

    workers: Annotated[list[WorkerCheckIn], Meta(max_length=MOST_DEFINITIONS)] = []
    webhooks: Annotated[
        list[JsonObject], Meta(max_length=MOST_DEFINITIONS, description="As the bodies that create them.")
    ] = []
    automation_jobs: Annotated[
        list[JsonObject],
        Meta(max_length=MOST_DEFINITIONS, description="As for `POST /api/automation/jobs`."),
    ] = []
    automation_triggers: Annotated[
        list[JsonObject],
        Meta(
            max_length=MOST_DEFINITIONS,
            description="As for `POST /api/automation/triggers`, without the secret.",
        ),
    ] = []


class CheckOut(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    valid: bool
    """Always true; what is not valid is answered with 422."""
    warnings: Annotated[
        dict[str, list[str]],
        Meta(description="By field: what is accepted, and will not do what was probably meant."),
    ]


class VersionPart(msgspec.Struct):
    """What decides about the release line."""

    runtime: RuntimeName | None = None
    runtime_version: str | None = None


class SchemaPart(msgspec.Struct):
    """The input schema alone."""

    input_schema: dict[str, Any] | None = None


CHECK: Final = Validator(CheckIn)
