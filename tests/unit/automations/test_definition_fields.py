"""Each field of a definition is declared once; requests, patches, responses and stored rows have all of them."""

from datetime import UTC, datetime

import msgspec
import pytest

from runwright.automations.config_file import read_config
from runwright.automations.errors import DefinitionError
from runwright.automations.model import JobFields, TriggerDefinition, TriggerFields
from runwright.core.struct_fields import patch_type, set_fields
from runwright.http.agh.jobs.schemas import JobIn, JobOut, JobPatch, job_create, job_patch
from runwright.http.agh.loose_json import decode_loosely
from runwright.http.agh.triggers.schemas import (
    TriggerIn,
    TriggerOut,
    TriggerPatch,
    trigger_create,
    trigger_patch,
)

START = datetime(2026, 5, 1, tzinfo=UTC)
BODY = b'{"SCOPE": "global", "name": " n ", "agent_name": "a", "prompt": "p", "event": "custom.x", "filter": null}'
FILE = """
[[automation.triggers]]
scope = "global"
name = "n"
agent = "a"
prompt = "p"
event = "custom.x"
retry = { strategy = "none" }
fire_limit = { max = 3 }
"""


@pytest.mark.parametrize(
    ("fields", "create", "patch", "out"),
    [(JobFields, JobIn, JobPatch, JobOut), (TriggerFields, TriggerIn, TriggerPatch, TriggerOut)],
)
def test_requests_patches_and_responses_have_every_field(
    fields: type[msgspec.Struct],
    create: type[msgspec.Struct],
    patch: type[msgspec.Struct],
    out: type[msgspec.Struct],
) -> None:
    names = set(fields.__struct_fields__)
    assert names <= set(create.__struct_fields__)
    assert names <= set(out.__struct_fields__)
    assert names - set(patch.__struct_fields__) == {"scope"}
    assert set_fields(patch()) == {}


def test_a_request_is_decoded_with_the_tolerance_of_go() -> None:
    new = trigger_create(decode_loosely(BODY, TriggerIn, "test"))
    assert new.definition == TriggerDefinition(
        scope="global", name="n", agent_name="a", prompt="p", event="custom.x"
    )
    assert new.secret is None


def test_only_the_given_fields_are_patched() -> None:
    patch = trigger_patch(
        decode_loosely(b'{"workspace_id": "", "webhook_signature": ""}', TriggerPatch, "test")
    )
    assert patch.fields == {"workspace_id": "", "webhook_signature": "agh"}
    body = b'{"scheduler": {"catch_up_policy": "run_all"}, "retry": {}}'
    fields = job_patch(decode_loosely(body, JobPatch, "test")).fields
    assert fields["catch_up"] == "all"
    assert fields["retry"].strategy == "", "as in Go, and refused by the rules"


def test_a_zero_grace_is_the_default_of_a_new_job() -> None:
    body = b'{"scheduler": {"misfire_grace_seconds": 0}}'
    assert (
        getattr(job_create(decode_loosely(body, JobIn, "test")).definition, "misfire_grace_seconds", 0) == 30
    )


def test_a_file_has_the_same_fields_and_may_leave_parts_of_a_table_out() -> None:
    [one] = read_config(FILE, zone="UTC", now=START).definitions
    assert (one.definition.agent_name, one.trigger.event) == ("a", "custom.x")
    assert (one.fire_limit.max, one.fire_limit.window) == (3, "1h")
    with pytest.raises(DefinitionError, match=r"automation.triggers\[0\].webhook_signature must be empty"):
        read_config(FILE + 'webhook_signature = "github"', zone="UTC", now=START)


def test_a_derived_patch_has_no_required_fields() -> None:
    patch = patch_type("Patch", JobIn, "A patch.", without=("name",), added={"more": int})
    assert {field.required for field in msgspec.structs.fields(patch)} == {False}
    assert {"more"} == set(patch.__struct_fields__) - set(JobIn.__struct_fields__)
