"""The role `api`: the HTTP server."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from ipaddress import ip_address

from runwright.config import Settings
from runwright.executor.executor import Executor
from runwright.http.app import build_app
from runwright.http.server import HttpServer
from runwright.http.services import EdgeSettings
from runwright.webhooks.sending import WebhookSender
from runwright.wiring.files import spool_dir_in
from runwright.wiring.resources import Resources
from runwright.wiring.services import open_services
from runwright.wiring.shutdown import Shutdown


async def start_http(
    f: Resources,
    executor: Executor | None,
    sender: WebhookSender,
    on_building: Callable[[], None],
    shutdown: Shutdown,
    stack: AsyncExitStack,
) -> str:
    """Start the HTTP server and return its URL."""
    services = await open_services(f, executor, sender, on_building, shutdown, stack)
    edge = _edge_settings(f.settings)
    server = HttpServer(build_app(services, edge), host=f.settings.host, port=f.settings.port, edge=edge)
    stack.push_async_callback(server.stop)
    return await server.start()


def _edge_settings(settings: Settings) -> EdgeSettings:
    return EdgeSettings(
        body_limit_bytes=settings.body_limit_bytes,
        upload_limit_bytes=settings.bundle_limit_bytes,
        spool_dir=spool_dir_in(settings),
        keyless=settings.dev and _on_loopback(settings.host),
        allowed_hosts=settings.allowed_hosts,
        public_url=(settings.public_url or "").rstrip("/"),
    )


def _on_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
