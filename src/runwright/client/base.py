"""What both clients have in common: their resources, and calls that belong to none of them."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final, Self, Unpack

from runwright.client.dual_mode import DualMode, Iteration, M, call
from runwright.client.messages import ApiResponse
from runwright.client.models.system import CheckInfo, SystemInfo, WhoamiInfo
from runwright.client.profiles import Profiles
from runwright.client.session import Credentials, RequestParts, Session
from runwright.client.targets import ServerTarget, explicit_target, profile_target

if TYPE_CHECKING:
    from runwright.client.agents import AgentsApi
    from runwright.client.automations import AutomationsApi
    from runwright.client.events import EventsApi, InboxApi
    from runwright.client.jobs import JobsApi
    from runwright.client.models.events import StreamEntry, StreamOptions
    from runwright.client.reports import AnalyticsApi, QueuesApi, RuntimesApi
    from runwright.client.schedules import SchedulesApi
    from runwright.client.secrets import SecretsApi
    from runwright.client.shares import SharesApi
    from runwright.client.tenants import AuditApi, KeysApi, TenantsApi
    from runwright.client.transports import Transport
    from runwright.client.webhooks import DeliveriesApi, WebhooksApi
    from runwright.client.workers import WorkersApi

DEFAULT_TIMEOUT: Final = 60.0
DEFAULT_RETRIES: Final = 4


_RESOURCES: Final = {
    "jobs": ("jobs", "JobsApi"),
    "shares": ("shares", "SharesApi"),
    "workers": ("workers", "WorkersApi"),
    "schedules": ("schedules", "SchedulesApi"),
    "secrets": ("secrets", "SecretsApi"),
    "events": ("events", "EventsApi"),
    "inbox": ("events", "InboxApi"),
    "webhooks": ("webhooks", "WebhooksApi"),
    "deliveries": ("webhooks", "DeliveriesApi"),
    "agents": ("agents", "AgentsApi"),
    "automations": ("automations", "AutomationsApi"),
    "queues": ("reports", "QueuesApi"),
    "analytics": ("reports", "AnalyticsApi"),
    "runtimes": ("reports", "RuntimesApi"),
    "keys": ("tenants", "KeysApi"),
    "tenants": ("tenants", "TenantsApi"),
    "audit": ("tenants", "AuditApi"),
}
"""Where resources are; each is imported when it is first used."""


class Client(DualMode[M]):
    """A server."""

    jobs: "JobsApi[M]"
    """Jobs: run, watch, cancel, retry, one by one or many at once."""
    shares: "SharesApi[M]"
    """Links that show one job to people without a key."""
    workers: "WorkersApi[M]"
    """Workers, their versions and their code."""
    schedules: "SchedulesApi[M]"
    """Jobs by the clock."""
    secrets: "SecretsApi[M]"
    """Values that workers get as environment variables."""
    events: "EventsApi[M]"
    """The events of the tenant."""
    inbox: "InboxApi[M]"
    """What waits for a person."""
    webhooks: "WebhooksApi[M]"
    """URLs that events are sent to."""
    deliveries: "DeliveriesApi[M]"
    """The deliveries to webhooks."""
    agents: "AgentsApi[M]"
    """Agents and their executions."""
    automations: "AutomationsApi[M]"
    """Prompts for agents, on a schedule, on an event, on a webhook."""
    queues: "QueuesApi[M]"
    """How many jobs are queued and running."""
    analytics: "AnalyticsApi[M]"
    """How jobs ended."""
    runtimes: "RuntimesApi[M]"
    """What the server runs workers on."""
    keys: "KeysApi[M]"
    """API keys."""
    tenants: "TenantsApi[M]"
    """All tenants, for the operator."""
    audit: "AuditApi[M]"
    """The audit log."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        tenant: str | None = None,
        user: str | None = None,
        role: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
    ) -> None:
        """Connect to a server when the first request is made.

        `url` and `api_key` are by default RUNWRIGHT_URL (http://127.0.0.1:8080) and RUNWRIGHT_API_KEY,
        `tenant` is RUNWRIGHT_TENANT. A tenant's key needs none of `tenant`, `user` and `role`, a platform key
        all of them. `timeout` is for how many seconds nothing may arrive, `retries` how often a request is
        sent again.
        """
        credentials = Credentials(api_key=api_key, tenant=tenant, user=user, role=role)
        self._connect(explicit_target(url, credentials), timeout, retries)

    @classmethod
    def from_profile(
        cls,
        name: str | None = None,
        *,
        tenant: str | None = None,
        profiles: Profiles | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
    ) -> Self:
        """Return a client for a profile that `runwright login` saved, by default the current one.

        RUNWRIGHT_PROFILE, or RUNWRIGHT_URL with RUNWRIGHT_API_KEY, have priority over the current profile.
        Without any of them it is the server of this machine, with the key in its data directory.
        """
        return cls.for_target(
            profile_target(name, tenant=tenant, profiles=profiles), timeout=timeout, retries=retries
        )

    @classmethod
    def for_target(
        cls,
        target: ServerTarget,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
        transport: "Transport | None" = None,
    ) -> Self:
        """Return a client for a server that was selected; `transport` is by default the network."""
        client = cls.__new__(cls)
        client._connect(target, timeout, retries, transport)  # noqa: SLF001  its own
        return client

    @staticmethod
    def _transport(url: str) -> "Transport":
        raise NotImplementedError

    def _connect(
        self, target: ServerTarget, timeout: float, retries: int, transport: "Transport | None" = None
    ) -> None:
        session = Session(
            transport or self._transport(target.url), target.credentials, timeout=timeout, retries=retries
        )
        super().__init__(session)
        self.url = target.url
        self.tenant = target.credentials.tenant
        """The tenant that was asked for; None: that of the key."""
        self.profile = target.profile

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}{f' {self.tenant}' if self.tenant else ''}>"

    @call
    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def stream(
        self, *, last_event_id: str = "", **which: "Unpack[StreamOptions]"
    ) -> "Iteration[M, StreamEntry]":
        """Return what happens from now on, or after an event, as it happens, until the loop is left.

        A connection that is lost is opened again and continues where it was; some events may come twice.
        """
        produce = import_module("runwright.client.events").stream_events
        return Iteration(self._session, lambda: produce(self._session, which, last_event_id))

    @call
    async def whoami(self) -> WhoamiInfo:
        """Return whom requests are made for, and with which key."""
        return await self._session.read(WhoamiInfo, "GET /v1/ava/whoami")

    @call
    async def check(self, definitions: Mapping[str, object]) -> CheckInfo:
        """Check definitions without creating any: `{"workers": [{"definition": {…}, "schedules": []}]}`.

        `webhooks`, `automation_jobs` and `automation_triggers` can be checked too; each definition is as the
        request that creates it has it. InvalidValueError names all that is wrong.
        """
        return await self._session.read(CheckInfo, "POST /v1/ava/check", json=dict(definitions))

    @call
    async def system(self) -> SystemInfo:
        """Return the state of the server, which only its operator may see."""
        return await self._session.read(SystemInfo, "GET /v1/system")

    @call
    async def request(
        self, route: str, /, *ids: str, check: bool = True, **parts: Unpack[RequestParts]
    ) -> ApiResponse:
        """Return the answer to a request of yours: `rw.request("GET /v1/ava/jobs/{id}", "job_…").json`.

        `query`, `json`, `body`, `content_type` and `headers` are its parts. ApiError, Unreachable. With
        `check=False` the first answer is returned, whatever its status.
        """
        return await self._session.send(route, *ids, check=check, **parts)

    if not TYPE_CHECKING:  # so that a misspelt resource is found

        def __getattr__(self, name: str) -> DualMode[M]:
            if name not in _RESOURCES:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            module, kind = _RESOURCES[name]
            resource = getattr(import_module(f"runwright.client.{module}"), kind)(self._session)
            setattr(self, name, resource)
            return resource
