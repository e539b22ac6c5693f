"""Contract §9: definitions in a file, kept as the file has them."""

from datetime import timedelta

import pytest

from runwright.automations.config_file import read_config
from runwright.automations.config_sync import ConfigSyncResult, resolve_secrets, sync_definitions, vault_name
from runwright.automations.errors import DefinitionError
from runwright.automations.model import Automation, AutomationKind, DefinitionSource, FireLimit
from runwright.core.errors import ConflictError
from tests.integration.automations.world import AutomationWorld
from tests.integration.jobs.world import START

JOB = """
[[automation.jobs]]
scope = "global"
name = "digest"
agent = "agent"
prompt = "do it"
schedule = { mode = "every", interval = "1m" }
"""
HOOK = """
[[automation.triggers]]
scope = "workspace"
workspace = "ws-1"
name = "deploy"
agent = "agent"
prompt = "{{ .Data.ref }}"
event = "webhook"
endpoint_slug = "deploy"
webhook_secret_ref = "env:HOOK"
filter = { "data.ref" = "main" }
"""
EVENT = (
    HOOK.replace('"webhook"', '"custom.x"')
    .replace('endpoint_slug = "deploy"\n', "")
    .replace('webhook_secret_ref = "env:HOOK"\n', "")
)


async def nothing(_: str, __: str) -> str | None:
    return None


async def sync(world: AutomationWorld, text: str, secret: str = "from-env") -> ConfigSyncResult:
    said = read_config(text, zone="UTC", now=world.now)
    secrets = await resolve_secrets(said.definitions, nothing, {"HOOK": secret})
    return await sync_definitions(
        world.db, world.automations.definitions, said.definitions, secrets, world.now
    )


async def configured(world: AutomationWorld, kind: AutomationKind = AutomationKind.JOB) -> list[Automation]:
    from_file = await world.db.fetch("SELECT id FROM automations WHERE source = 'config' AND kind = $1", kind)
    definitions = world.automations.definitions
    return [(await definitions.get("default", kind, row[0])).automation for row in from_file]


async def test_the_database_is_what_the_file_says(world: AutomationWorld) -> None:
    assert await sync(world, JOB + HOOK) == ConfigSyncResult(2, 0, 0)
    [job], [hook] = await configured(world), await configured(world, AutomationKind.TRIGGER)
    assert job.source is DefinitionSource.CONFIG
    assert len(job.id) == len("jobcfg_") + 16
    assert hook.trigger.webhook_id == hook.id.replace("trgcfg_", "wbh_")
    assert list(await world.automations.definitions.secrets(hook)) == ["from-env"]
    assert await sync(world, JOB + HOOK) == ConfigSyncResult(0, 0, 0)
    world.forward(10)
    assert await sync(world, JOB.replace("do it", "do that") + HOOK) == ConfigSyncResult(0, 1, 0)
    [changed] = await configured(world)
    assert (changed.id, changed.definition.prompt, changed.updated_at) == (job.id, "do that", world.now)
    shown = await world.automations.definitions.get("default", AutomationKind.JOB, job.id)
    assert shown.schedule is not None
    assert shown.schedule.next_run_at == job.created_at + timedelta(minutes=1), "its clock goes on"
    assert await sync(world, HOOK, "rotated") == ConfigSyncResult(0, 1, 1)
    assert await configured(world) == []
    assert list(await world.automations.definitions.secrets(hook)) == ["rotated"]


async def test_what_callers_made_is_untouched(world: AutomationWorld) -> None:
    mine = await world.job_automation()
    await sync(world, JOB)
    await sync(world, "")
    assert (await world.automations.definitions.get("ten_a", AutomationKind.JOB, mine.id)).automation == mine


async def test_switching_off_stays_also_when_the_definition_comes_back(world: AutomationWorld) -> None:
    await sync(world, JOB)
    [job] = await configured(world)
    await world.change(job, enabled=False)
    await sync(world, JOB)
    assert [one.definition.enabled for one in await configured(world)] == [False]
    await sync(world, "")
    await sync(world, JOB)
    assert [one.definition.enabled for one in await configured(world)] == [False]
    await world.change(job, enabled=True)
    assert await world.db.fetchval("SELECT count(*) FROM automation_enabled_overrides") == 0


async def test_only_enabled_can_be_changed_by_callers(world: AutomationWorld) -> None:
    await sync(world, JOB + EVENT)
    for kind in AutomationKind:
        [one] = await configured(world, kind)
        with pytest.raises(DefinitionError, match=f"automation {kind.value}s only accept enabled updates"):
            await world.change(one, enabled=False, prompt="x")
        with pytest.raises(DefinitionError, match=f"automation {kind.value}s cannot be deleted"):
            await world.automations.definitions.delete(world.caller("default"), kind, one.id)
    [one] = await configured(world)
    await world.db.execute("UPDATE automations SET source = 'package'")
    with pytest.raises(ConflictError, match="managed and read-only"):
        await world.change(one, enabled=False)


async def test_one_bad_definition_and_nothing_counts(world: AutomationWorld) -> None:
    await sync(world, JOB)
    await world.db.execute(
        "INSERT INTO automations SELECT 'job-x', tenant_id, kind, scope, workspace_id, 'taken', agent_name,"
        " prompt, enabled, limit_max, limit_window, limit_span, 'dynamic', NULL, event, webhook_id,"
        " endpoint_slug, details, 0, created_by, created_at, updated_at FROM automations"
    )
    with pytest.raises(ConflictError):
        await sync(world, JOB.replace("do it", "do that") + JOB.replace("digest", "taken"))
    assert [one.definition.prompt for one in await configured(world)] == ["do it"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[automation", "is no TOML"),
        ("[automation]\nenabled = 1", "automation.enabled: Expected `bool`"),
        ('[automation]\ntimezone = "Mars/Base"', "automation.timezone is invalid"),
        ("[automation]\nmax_concurrent_jobs = 0", "automation.max_concurrent_jobs must be positive: 0"),
        (
            '[automation]\ndefault_fire_limit = { max = 1, window = "x" }',
            "automation.default_fire_limit.window is invalid",
        ),
        (JOB.replace("every", "never"), 'automation.jobs[0].schedule.mode must be one of "cron"'),
        (JOB.replace('"digest"', "5"), "automation.jobs[0].name: Expected `str`"),
        (JOB + JOB, "automation job 'digest' is there twice"),
        (HOOK.replace("env:HOOK", "file:x"), "automation.triggers[0].webhook_secret_ref must be env:NAME"),
        (
            HOOK.replace('"deploy"\nwebhook', '""\nwebhook'),
            "automation.triggers[0].endpoint_slug is required",
        ),
        (EVENT.replace("{{ .Data.ref }}", "{{"), "automation.triggers[0].prompt is invalid"),
    ],
)
def test_a_bad_file_says_where(text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        read_config(text, zone="UTC", now=START)
    assert message in refused.value.message


async def test_a_secret_that_is_nowhere_is_refused(world: AutomationWorld) -> None:
    with pytest.raises(DefinitionError, match="there is no secret env:HOOK"):
        await sync(world, HOOK, " ")


async def test_a_secret_may_come_from_the_tenants_vault() -> None:
    asked = []

    async def reveal(tenant_id: str, name: str) -> str | None:
        asked.append((tenant_id, name))
        return "from-vault"

    text = HOOK.replace("env:HOOK", "vault:automation/deploy-hook")
    said = read_config(text, zone="UTC", now=START)
    assert list((await resolve_secrets(said.definitions, reveal, {})).values()) == ["from-vault"]
    assert asked == [("default", "AUTOMATION_DEPLOY_HOOK")]
    assert vault_name("automation/a.b") == "AUTOMATION_A_B"


def test_the_file_may_say_more_of_the_server() -> None:
    text = '[automation]\ntimezone = "Europe/Berlin"\nmax_concurrent_jobs = 9\n'
    text += 'default_fire_limit = { max = 3, window = "1m" }\n'
    said = read_config(text + JOB, zone="UTC", now=START)
    assert (said.zone, said.concurrency, said.enabled) == ("Europe/Berlin", 9, True)
    assert said.definitions[0].fire_limit == FireLimit(max=3, window="1m")
