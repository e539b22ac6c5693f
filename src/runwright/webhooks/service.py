"""The service of webhook endpoints and their deliveries; its values are in webhooks/model.py."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import DeliveryId, EndpointId, OwnerId, new_id
from runwright.core.paging import Listing, PageRequest, View, Window
from runwright.core.roles import Caller
from runwright.db.pool import Database, PoolConnection
from runwright.events.model import Event
from runwright.events.store import append_event, subscribe
from runwright.outbox.queue import OutboxClaim
from runwright.outbox.signing import new_signing_secret
from runwright.secrets.keyring import SecretBox
from runwright.secrets.model import EncryptedValue
from runwright.tenants.audit import record
from runwright.webhooks.model import (
    ENDPOINTS_PER_TENANT,
    ClaimedDelivery,
    Delivery,
    DeliveryOutcome,
    DeliveryStatus,
    EndpointStatus,
    WebhookEndpoint,
    WebhookEndpointCreate,
    WebhookEndpointPatch,
)
from runwright.webhooks.sending import WebhookSender
from runwright.webhooks.store import endpoints as store
from runwright.webhooks.store.deliveries import (
    fetch_delivery,
    fetch_delivery_of_tenant,
    insert_test_delivery,
    list_deliveries,
    requeue_delivery,
    view_deliveries,
)

TEST_EVENT: Final = "webhook.test"


class WebhookTest(msgspec.Struct, frozen=True):
    """The outcome of a test, and the endpoint after it."""

    endpoint: WebhookEndpoint
    event: Event
    outcome: DeliveryOutcome


class WebhookEndpoints:
    """Create, change, test and delete the endpoints of one payload format; others are invisible to it.

    A call returns after its changes are committed.
    """

    def __init__(
        self,
        db: Database,
        *,
        style: str,
        clock: Clock,
        secret_box: SecretBox,
        sender: WebhookSender,
        on_due: Callable[[], None] = lambda: None,
        on_subscribed: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_due` is called after a delivery became due, `on_subscribed` before an endpoint is changed."""
        self._db = db
        self._style = style
        self._clock = clock
        self._secret_box = secret_box
        self._sender = sender
        self._on_due = on_due
        self._on_subscribed = on_subscribed

    async def create(self, caller: Caller, new: WebhookEndpointCreate) -> tuple[WebhookEndpoint, str | None]:
        """Create an endpoint; also return the secret if it was generated.

        ConflictError where the tenant has reached its limit.
        """
        now = self._clock()
        self._on_subscribed()
        endpoint = WebhookEndpoint(
            id=EndpointId(new_id("wh", now)),
            tenant_id=caller.tenant_id,
            style=self._style,
            url=new.url,
            events=new.events,
            patterns=new.patterns,
            status=EndpointStatus.ACTIVE if new.active else EndpointStatus.PAUSED,
            status_reason=None,
            gone=False,
            created_by=caller.user_id,
            created_at=now,
            updated_at=now,
        )
        generated = None if new.secret is not None else new_signing_secret()
        async with self._db.acquire() as db, db.transaction():
            if not await store.insert_endpoint(db, endpoint, most=ENDPOINTS_PER_TENANT):
                raise ConflictError(f"The tenant has {ENDPOINTS_PER_TENANT} webhooks; delete one first.")
            await store.add_secret(
                db,
                endpoint_id=endpoint.id,
                secret=self._encrypted(endpoint, new.secret or generated or ""),
                old_until=None,
            )
            await _subscribe(db, endpoint)
            await record(db, caller, "endpoint.create", endpoint.id, after=endpoint, now=now)
        return endpoint, generated

    async def get(self, tenant_id: str, endpoint_id: EndpointId) -> WebhookEndpoint:
        """Return one endpoint of the tenant."""
        endpoint = await store.fetch_endpoint(
            self._db, tenant_id=tenant_id, style=self._style, endpoint_id=endpoint_id
        )
        return _found(endpoint, endpoint_id)

    async def list(self, tenant_id: str, page: PageRequest) -> Listing[WebhookEndpoint]:
        """Return a page of the tenant's endpoints, newest first."""
        return await store.list_endpoints(self._db, tenant_id=tenant_id, style=self._style, page=page)

    async def view(self, tenant_id: str, window: Window) -> View[WebhookEndpoint]:
        """Return a window of the tenant's endpoints."""
        return await store.view_endpoints(self._db, tenant_id=tenant_id, style=self._style, window=window)

    async def change(
        self, caller: Caller, endpoint_id: EndpointId, changes: WebhookEndpointPatch
    ) -> WebhookEndpoint:
        """Change an endpoint. A new secret replaces all others at once; activation clears `gone`."""
        self._on_subscribed()
        async with self._db.acquire() as db, db.transaction():
            endpoint = await self._lock(db, caller.tenant_id, endpoint_id)
            values = {
                name: value
                for name in ("url", "events", "patterns", "status")
                if (value := getattr(changes, name)) is not None
            }
            if changes.status is not None:
                values |= {"status_reason": None, "gone": False}
            changed = msgspec.structs.replace(endpoint, **values)
            if changes.secret is not None:
                encrypted = self._encrypted(endpoint, changes.secret)
                await store.add_secret(db, endpoint_id=endpoint_id, secret=encrypted, old_until=None)
            elif changed == endpoint:
                return endpoint
            return await self._write(db, caller, "endpoint.change", endpoint, changed)

    async def delete(self, caller: Caller, endpoint_id: EndpointId) -> None:
        """Delete an endpoint with the deliveries that are pending."""
        async with self._db.acquire() as db, db.transaction():
            if not await store.delete_endpoint(
                db, tenant_id=caller.tenant_id, style=self._style, endpoint_id=endpoint_id
            ):
                raise _no_endpoint(endpoint_id)
            await subscribe(db, tenant_id=caller.tenant_id, subscriber_id=endpoint_id, patterns=())
            await record(db, caller, "endpoint.delete", endpoint_id, now=self._clock())

    async def rotate_secret(
        self, caller: Caller, endpoint_id: EndpointId, secret: str | None, overlap_seconds: int
    ) -> tuple[WebhookEndpoint, str | None, datetime]:
        """Replace the secret; the previous one signs beside it for a while, and no older one does.

        Also returns the secret if it was generated, and until when the previous one is valid.
        """
        now = self._clock()
        until = now + timedelta(seconds=overlap_seconds)
        generated = None if secret is not None else new_signing_secret()
        async with self._db.acquire() as db, db.transaction():
            endpoint = await self._lock(db, caller.tenant_id, endpoint_id)
            encrypted = self._encrypted(endpoint, secret or generated or "")
            await store.add_secret(
                db, endpoint_id=endpoint_id, secret=encrypted, old_until=until if overlap_seconds else None
            )
            written = await self._write(db, caller, "endpoint.rotate_secret", endpoint, endpoint)
            return written, generated, until

    async def test(self, caller: Caller, endpoint_id: EndpointId) -> WebhookTest:
        """Send a test event now and return the outcome; success reactivates a degraded endpoint."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            endpoint = await self._lock(db, caller.tenant_id, endpoint_id)
            secrets = await store.fetch_secrets(db, endpoint_id=endpoint_id, now=now)
            position = await append_event(
                db, tenant_id=caller.tenant_id, type=TEST_EVENT, subject_id=endpoint_id, now=now
            )
        event = Event(
            position=position,
            tenant_id=caller.tenant_id,
            type=TEST_EVENT,
            subject_id=endpoint_id,
            created_at=now,
        )
        delivery = ClaimedDelivery(
            claim=OutboxClaim(
                id=new_id("whd", now),
                destination_id=endpoint_id,
                tenant_id=caller.tenant_id,
                fence=0,
                failed_attempts=0,
            ),
            style=endpoint.style,
            url=endpoint.url,
            secrets=secrets,
            event=event,
        )
        outcome = await self._sender.send(delivery)
        return WebhookTest(await self._record_test(caller, delivery, outcome), event, outcome)

    async def _record_test(
        self, caller: Caller, delivery: ClaimedDelivery, outcome: DeliveryOutcome
    ) -> WebhookEndpoint:
        async with self._db.acquire() as db, db.transaction():
            endpoint = await self._lock(db, caller.tenant_id, EndpointId(delivery.claim.destination_id))
            await insert_test_delivery(
                db,
                delivery_id=DeliveryId(delivery.claim.id),
                endpoint_id=endpoint.id,
                event=delivery.event,
                outcome=outcome,
                now=self._clock(),
            )
            if not outcome.delivered or endpoint.status is not EndpointStatus.DEGRADED:
                now = self._clock()
                await record(
                    db, caller, "endpoint.test", endpoint.id, before=endpoint, after=endpoint, now=now
                )
                return endpoint
            values = {"status": EndpointStatus.ACTIVE, "status_reason": None, "gone": False}
            active = msgspec.structs.replace(endpoint, **values)
            changed = await self._write(db, caller, "endpoint.test", endpoint, active)
        self._on_due()
        return changed

    async def deliveries(
        self, tenant_id: str, endpoint_id: EndpointId, status: DeliveryStatus | None, page: PageRequest
    ) -> Listing[Delivery]:
        """Return a page of an endpoint's deliveries, newest first."""
        await self.get(tenant_id, endpoint_id)
        return await list_deliveries(self._db, endpoint_id=endpoint_id, status=status, page=page)

    async def view_deliveries(self, tenant_id: str, window: Window) -> View[Delivery]:
        """Return a window of the deliveries to all of the tenant's endpoints."""
        return await view_deliveries(self._db, tenant_id=tenant_id, style=self._style, window=window)

    async def delivery(self, tenant_id: str, delivery_id: DeliveryId) -> Delivery:
        """Return one delivery to any of the tenant's endpoints."""
        found = await fetch_delivery_of_tenant(
            self._db, tenant_id=tenant_id, style=self._style, delivery_id=delivery_id
        )
        if found is None:
            raise _no_delivery(delivery_id)
        return found

    async def body(self, event: Event) -> bytes | None:
        """Return the body of an event for these endpoints; None where its subject no longer exists."""
        return await self._sender.body(self._style, event)

    async def redeliver(self, caller: Caller, endpoint_id: EndpointId, delivery_id: DeliveryId) -> Delivery:
        """Send a delivery again, now, with all retries before it.

        ConflictError while it is being sent, and where the endpoint is paused or gone.
        """
        async with self._db.acquire() as db, db.transaction():
            endpoint = await self._lock(db, caller.tenant_id, endpoint_id)
            if endpoint.status is EndpointStatus.PAUSED or endpoint.gone:
                raise ConflictError("Nothing is sent to this webhook; make it active first.")
            if await fetch_delivery(db, endpoint_id=endpoint_id, delivery_id=delivery_id) is None:
                raise _no_delivery(delivery_id)
            requeued = await requeue_delivery(
                db, endpoint_id=endpoint_id, delivery_id=delivery_id, now=self._clock()
            )
            if not requeued:
                raise ConflictError("The delivery is being sent at this moment.")
            delivery = await fetch_delivery(db, endpoint_id=endpoint_id, delivery_id=delivery_id)
            await record(db, caller, "delivery.redeliver", delivery_id, now=self._clock())
        self._on_due()
        if delivery is None:
            raise _no_delivery(delivery_id)
        return delivery

    async def _lock(self, db: PoolConnection, tenant_id: str, endpoint_id: EndpointId) -> WebhookEndpoint:
        endpoint = await store.fetch_endpoint(
            db, tenant_id=tenant_id, style=self._style, endpoint_id=endpoint_id, lock=True
        )
        return _found(endpoint, endpoint_id)

    async def _write(
        self,
        db: PoolConnection,
        caller: Caller,
        action: str,
        before: WebhookEndpoint,
        endpoint: WebhookEndpoint,
    ) -> WebhookEndpoint:
        changed = msgspec.structs.replace(endpoint, updated_at=max(self._clock(), endpoint.updated_at))
        await store.update_endpoint(db, changed)
        await _subscribe(db, changed)
        now = changed.updated_at
        await record(db, caller, action, endpoint.id, before=before, after=changed, now=now)
        return changed

    def _encrypted(self, endpoint: WebhookEndpoint, secret: str) -> EncryptedValue:
        return self._secret_box.encrypt(endpoint.tenant_id, OwnerId(endpoint.id), secret)


async def _subscribe(db: PoolConnection, endpoint: WebhookEndpoint) -> None:
    """Subscribe an endpoint to its events, or to none while it is paused or gone."""
    idle = endpoint.status is EndpointStatus.PAUSED or endpoint.gone
    await subscribe(
        db,
        tenant_id=endpoint.tenant_id,
        subscriber_id=endpoint.id,
        patterns=() if idle else endpoint.patterns,
    )


def _found(endpoint: WebhookEndpoint | None, endpoint_id: EndpointId) -> WebhookEndpoint:
    if endpoint is None:
        raise _no_endpoint(endpoint_id)
    return endpoint


def _no_endpoint(endpoint_id: EndpointId) -> NotFoundError:
    return NotFoundError(f"There is no webhook {endpoint_id}.")


def _no_delivery(delivery_id: DeliveryId) -> NotFoundError:
    return NotFoundError(f"There is no delivery {delivery_id}.")
