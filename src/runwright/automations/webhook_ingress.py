"""Accept incoming webhooks: verified, claimed and stored as runs before they are acknowledged.

States of a webhook: read (headers and body) → verified (a secret of its trigger has signed it recently)
→ accepted: its replay keys are claimed and its run is stored, in one transaction. Otherwise it is refused.

Invariants: no two webhooks of a trigger with one message or one delivery id are accepted while the first
could still be fresh; claims and run are one transaction, so neither exists without the other; a webhook that
created no run keeps no claim, except at the fire limit. The claim of a run that has failed or was cancelled
may be taken again, so a delivery that is sent again makes another run.

Failure handling: webhooks are written in batches, which are repeated if the connection broke; the id
of a request distinguishes its own claims from those of others.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.definitions import secret_owner
from runwright.automations.errors import DefinitionError, secret_required
from runwright.automations.model import (
    WEBHOOK_EVENT,
    Automation,
    AutomationScope,
    Run,
    RunStatus,
    TriggerDefinition,
    time_text,
)
from runwright.automations.store.firing import Fire, FireAnswer, Limited, fire
from runwright.automations.store.runs import fetch_runs_by_id
from runwright.automations.store.webhook_triggers import (
    ReplayClaim,
    WebhookTrigger,
    claim_replay_keys,
    find_webhook_triggers,
    release_replay_keys,
)
from runwright.automations.webhook_schemes import WebhookScheme
from runwright.automations.webhook_schemes import scheme_of as described_scheme
from runwright.automations.webhook_signatures import (
    BadSignatureError,
    SignatureHeaders,
    StaleTimestampError,
    VerifiedWebhook,
    identified,
    verify,
)
from runwright.core.clock import Clock
from runwright.core.errors import (
    ConflictError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from runwright.core.job_state import Trigger
from runwright.core.template_context import Json, TemplateContext
from runwright.core.webhook_body import is_compressed
from runwright.db.batching import Batcher
from runwright.db.pool import Database, PoolConnection
from runwright.offload.client import Offload, OffloadError
from runwright.offload.functions import WebhookResult, WebhookTask, evaluate_webhook
from runwright.secrets.keyring import SecretBox

_MAX_IN_FLIGHT: Final = 2
_SMALL_BODY_BYTES: Final = 32 * 1024

BODY_LIMIT_BYTES: Final = 1024 * 1024
"""Of a webhook, as it is sent and as it is decompressed."""

LONGEST_HEADER: Final = 1_000
"""Of a header that filters and prompts see; longer ones are cut."""

_EVENT_HEADER: Final = re.compile(
    r"(?:[a-z0-9-]+-)?(?:event|event-type|event-key|event-name|event-id|topic|resource-state|hook-resource"
    r"|message-type|attempt-number|retry-num|retry-count|retry-reason|api-version)"
    r"|ce-(?:id|type|source|subject|time|specversion|dataschema)"
)
"""Headers that name the event or the attempt, and those of CloudEvents. An allow list: no credential has
such a name."""


class Challenge(msgspec.Struct, frozen=True):
    """What the sender asks to be echoed, before it sends webhooks."""

    text: str


class WebhookPath(msgspec.Struct, frozen=True, kw_only=True):
    """The path of a webhook; without a workspace it is the global route."""

    slug: str
    webhook_id: str
    workspace_id: str = ""

    def belongs_to(self, trigger: TriggerDefinition) -> bool:
        """Return whether this is the path of the trigger."""
        scope = AutomationScope.WORKSPACE if self.workspace_id else AutomationScope.GLOBAL
        return (self.slug, scope, self.workspace_id) == (
            trigger.endpoint_slug,
            trigger.scope,
            trigger.workspace_id,
        )


class _MatchedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A verified webhook that matches the filter of its trigger."""

    trigger_id: str
    request_id: str
    """Distinguishes the claims of this request from those of others with the same replay key."""
    replay_keys: tuple[str, ...]
    expires_at: datetime
    digest: str
    spare_run_id: str
    """The run id if an earlier webhook, whose replay keys have expired, has the usual one."""
    context: bytes

    @property
    def run_id(self) -> str:
        return f"run_wbh_{self.digest[:24]}"


class WebhookIngress:
    """Find triggers of webhooks, and accept webhooks. Calls return after their changes are committed."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        secret_box: SecretBox,
        on_due: Callable[[], None],
        offload: Offload,
    ) -> None:
        """`on_due` is called when runs are due."""
        self._db = db
        self._clock = clock
        self._secret_box = secret_box
        self._on_due = on_due
        self._offload = offload
        self._lookups: Batcher[str, WebhookTrigger | None] = Batcher(
            self._look_up, max_in_flight=_MAX_IN_FLIGHT
        )
        self._accepts: Batcher[_MatchedWebhook, Run] = Batcher(self._accept, max_in_flight=_MAX_IN_FLIGHT)

    async def stop(self) -> None:
        """Refuse further webhooks; pending ones are committed."""
        await self._lookups.stop()
        await self._accepts.stop()

    async def find(self, path: WebhookPath) -> WebhookTrigger | None:
        """Return the enabled trigger of a path."""
        found = await self._lookups.add(path.webhook_id)
        return found if found is not None and path.belongs_to(found.automation.trigger) else None

    def secrets_of(self, webhook: WebhookTrigger) -> list[str]:
        """Return the valid secrets of a webhook's trigger, newest first."""
        one = webhook.automation
        owner = secret_owner(one)
        return [self._secret_box.decrypt(one.tenant_id, owner, secret) for secret in webhook.secrets]

    def verify(
        self,
        webhook: WebhookTrigger,
        given: SignatureHeaders,
        body: bytes,
        *,
        urls: Sequence[str] = (),
        content_type: str = "",
    ) -> VerifiedWebhook:
        """Verify the signature of a webhook. Raises UnauthenticatedError, DefinitionError (no secret)."""
        opened = self.secrets_of(webhook)
        try:
            return verify(given, body, opened, self._clock(), urls=urls, content_type=content_type)
        except StaleTimestampError:
            raise UnauthenticatedError("automation: webhook timestamp outside freshness window") from None
        except BadSignatureError:
            if not opened:
                raise secret_required() from None
            raise UnauthenticatedError("automation: webhook signature invalid") from None

    async def accept(
        self,
        webhook: WebhookTrigger,
        verified: VerifiedWebhook,
        body: bytes,
        headers: Mapping[str, str] | None = None,
    ) -> Run | Challenge | None:
        """Store a webhook and its run; None if the filter of the trigger does not match.

        `headers` are those of the request, names in lower case. Raises ConflictError (a replay, or the fire
        limit), NotFoundError (the trigger was deleted), DefinitionError (the body cannot be read),
        TooLargeError (once it is decompressed), UnavailableError (a large body cannot be read now).
        """
        one, now, headers = webhook.automation, self._clock(), headers or {}
        scheme = scheme_of(one.trigger)
        context = _context_of(one.trigger, verified.timestamp or now, visible_headers(scheme, headers))
        task = WebhookTask(
            body=body,
            context=msgspec.json.encode(context),
            filter=dict(one.trigger.filter),
            content_type=headers.get("content-type", ""),
            content_encoding=headers.get("content-encoding", ""),
            strict=scheme.reads_strictly,
            limit_bytes=BODY_LIMIT_BYTES,
            id_fields=scheme.id_fields,
            challenge=scheme.challenge,
        )
        result = await self._evaluate(one.tenant_id, task)
        if result.challenge is not None:
            return Challenge(result.challenge)
        if not result.matched:
            return None
        verified = identified(verified, result.delivery_id, now)
        run = await self._accepts.add(_matched(one, verified, result.context))
        self._on_due()
        return run

    async def _evaluate(self, tenant_id: str, task: WebhookTask) -> WebhookResult:
        """Read a body and apply the filter; a large body is read off the event loop."""
        small = len(task.body) <= _SMALL_BODY_BYTES and not is_compressed(task.body, task.content_encoding)
        result = evaluate_webhook(task) if small else await self._evaluate_beside(tenant_id, task)
        if result.oversized:
            raise TooLargeError("request body too large")
        if result.problem is not None:
            raise DefinitionError(f"automation: webhook body {result.problem}")
        return result

    async def _evaluate_beside(self, tenant_id: str, task: WebhookTask) -> WebhookResult:
        try:
            result = await self._offload.call(tenant_id, "webhook", msgspec.msgpack.encode(task))
        except OffloadError as error:
            raise UnavailableError(f"The webhook cannot be read: {error}.") from None
        return msgspec.msgpack.decode(result, type=WebhookResult)

    async def _look_up(self, webhook_ids: Sequence[str]) -> Sequence[WebhookTrigger | None]:
        found = await find_webhook_triggers(self._db, webhook_ids=sorted(set(webhook_ids)), now=self._clock())
        return [found.get(webhook_id) for webhook_id in webhook_ids]

    async def _accept(self, webhooks: Sequence[_MatchedWebhook]) -> Sequence[Run | BaseException]:
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            run_ids = await _claim(db, webhooks, now)
            claimed = [one for one in webhooks if one.request_id in run_ids]
            fires = [_fire(one, run_ids[one.request_id]) for one in claimed]
            answers = await fire(db, fires, now) if fires else ()
            fired = dict(zip((one.request_id for one in claimed), answers, strict=True))
            lost = [one for one in webhooks if fired.get(one.request_id) is None]
            if lost:
                await release_replay_keys(
                    db,
                    request_ids=[one.request_id for one in lost],
                    trigger_ids=[one.trigger_id for one in lost],
                )
        return [
            _result(fired[one.request_id]) if one.request_id in fired else _replayed() for one in webhooks
        ]


def scheme_of(trigger: TriggerDefinition) -> WebhookScheme:
    """Return how the sender of a trigger's webhooks signs."""
    return described_scheme(trigger.webhook_signature, trigger.webhook_hmac)


def visible_headers(scheme: WebhookScheme, headers: Mapping[str, str]) -> dict[str, Json]:
    """Return the headers that filters and prompts see: those of the scheme, and names of what happened."""
    known = {*scheme.headers, *(("content-type",) if scheme.reads_strictly else ())} - {*scheme.signature}
    return {
        name: headers[name][:LONGEST_HEADER]
        for name in sorted(headers)
        if name in known or _EVENT_HEADER.fullmatch(name)
    }


def not_registered() -> NotFoundError:
    """Return the error for a path that belongs to no trigger."""
    return NotFoundError("automation: webhook trigger not registered")


def parse_webhook_path(text: str, workspace_id: str = "") -> WebhookPath:
    """Parse `<slug>--<webhook id>`. Raises DefinitionError if it is malformed."""
    slug, _, webhook_id = text.rpartition("--")
    if not slug.strip() or not webhook_id.startswith("wbh_"):
        raise DefinitionError("automation: webhook endpoint is invalid")
    return WebhookPath(slug=slug, webhook_id=webhook_id, workspace_id=workspace_id)


def _context_of(trigger: TriggerDefinition, at: datetime, headers: dict[str, Json]) -> TemplateContext:
    """Return the template context of a webhook without its body."""
    webhook: dict[str, Json] = {
        "endpoint": f"{trigger.endpoint_slug}--{trigger.webhook_id}",
        "endpoint_slug": trigger.endpoint_slug,
        "webhook_id": trigger.webhook_id,
        "timestamp": time_text(at),
    }
    if headers or scheme_of(trigger).reads_strictly:
        webhook["headers"] = headers
    return TemplateContext(
        kind=WEBHOOK_EVENT,
        scope=trigger.scope,
        workspace_id=trigger.workspace_id,
        source=WEBHOOK_EVENT,
        data=webhook,
    )


async def _claim(db: PoolConnection, webhooks: Sequence[_MatchedWebhook], now: datetime) -> dict[str, str]:
    """Claim the replay keys of webhooks; return run ids by request id, if all keys of a webhook were free."""
    used = await fetch_runs_by_id(db, ids=[one.run_id for one in webhooks])
    claims: dict[tuple[str, str], ReplayClaim] = {}
    duplicates: set[str] = set()
    for one in webhooks:
        keys = [(one.trigger_id, key) for key in one.replay_keys]
        if any(key in claims for key in keys):
            duplicates.add(one.request_id)
            continue
        for trigger_and_key in keys:
            claims[trigger_and_key] = ReplayClaim(
                trigger_id=one.trigger_id,
                key=trigger_and_key[1],
                request_id=one.request_id,
                run_id=one.spare_run_id if one.run_id in used else one.run_id,
                expires_at=one.expires_at,
            )
    claimed = await claim_replay_keys(db, list(claims.values()), now)
    return {
        one.request_id: claimed[one.trigger_id, one.replay_keys[0]]
        for one in webhooks
        if one.request_id not in duplicates
        and all((one.trigger_id, key) in claimed for key in one.replay_keys)
    }


def _matched(one: Automation, verified: VerifiedWebhook, context: bytes) -> _MatchedWebhook:
    identity = verified.delivery_id or verified.replay_keys[0]
    return _MatchedWebhook(
        trigger_id=one.id,
        request_id=secrets.token_hex(8),
        replay_keys=verified.replay_keys,
        expires_at=verified.fresh_until,
        digest=hashlib.sha256(f"{one.id}\0{identity}".encode()).hexdigest(),
        spare_run_id=f"run_wbh_{secrets.token_hex(12)}",
        context=context,
    )


def _fire(one: _MatchedWebhook, run_id: str) -> Fire:
    return Fire(
        automation_id=one.trigger_id,
        run_id=run_id,
        fire_id=f"webhook:{one.digest}",
        cause=Trigger.WEBHOOK,
        context=one.context,
        limited_as=RunStatus.FAILED,
    )


def _result(answer: FireAnswer) -> Run | BaseException:
    if answer is None:
        return not_registered()
    return answer.error if isinstance(answer, Limited) else answer


def _replayed() -> ConflictError:
    return ConflictError("automation: webhook delivery already processed")
