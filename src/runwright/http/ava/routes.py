"""All routes of the AVA API."""

from collections.abc import Sequence

from runwright.http.ava.analytics.routes import ROUTES as ANALYTICS
from runwright.http.ava.audit.routes import ROUTES as AUDIT
from runwright.http.ava.bulk.routes import ROUTES as BULK
from runwright.http.ava.checks.routes import ROUTES as CHECKS
from runwright.http.ava.document import document_routes
from runwright.http.ava.events.routes import ROUTES as EVENTS
from runwright.http.ava.inbox.routes import LINK_ROUTES as LINKED
from runwright.http.ava.inbox.routes import ROUTES as INBOX
from runwright.http.ava.jobs.routes import ROUTES as JOBS
from runwright.http.ava.keys.routes import ROUTES as KEYS
from runwright.http.ava.queues.routes import ROUTES as QUEUES
from runwright.http.ava.runtimes.routes import ROUTES as RUNTIMES
from runwright.http.ava.schedules.routes import ROUTES as SCHEDULES
from runwright.http.ava.secrets.routes import ROUTES as SECRETS
from runwright.http.ava.session.routes import ROUTES as SESSION
from runwright.http.ava.session.routes import TOKEN_ROUTES as TOKENS
from runwright.http.ava.shares.routes import ROUTES as SHARES
from runwright.http.ava.shares.routes import SHARING_ROUTES as SHARING
from runwright.http.ava.shares.routes import VISITOR_ROUTES as SHARED
from runwright.http.ava.state.routes import ROUTES as STATE
from runwright.http.ava.stream.routes import ROUTES as STREAM
from runwright.http.ava.system.routes import ROUTES as SYSTEM
from runwright.http.ava.tenants.routes import ROUTES as TENANTS
from runwright.http.ava.version_files.routes import ROUTES as VERSION_FILES
from runwright.http.ava.versions.routes import ROUTES as VERSIONS
from runwright.http.ava.webhooks.routes import ROUTES as WEBHOOKS
from runwright.http.ava.whoami.routes import ROUTES as WHOAMI
from runwright.http.ava.workers.routes import ROUTES as WORKERS
from runwright.http.routing import Route


def ava_routes() -> Sequence[Route]:
    """Return the routes of all resources, and of the document that is made from them."""
    resources = [
        *(*WORKERS, *STATE, *SECRETS, *VERSIONS, *VERSION_FILES, *CHECKS, *BULK, *JOBS),
        *(*SHARES, *SHARING, *SHARED, *SCHEDULES),
        *(*QUEUES, *RUNTIMES, *ANALYTICS, *INBOX, *LINKED, *EVENTS, *STREAM, *WEBHOOKS),
        *(*TENANTS, *KEYS, *SESSION, *TOKENS, *WHOAMI, *AUDIT, *SYSTEM),
    ]
    return [*resources, *document_routes(resources)]
