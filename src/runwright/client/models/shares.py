"""Links that show one job."""

from datetime import datetime

from runwright.client.models.base import Info


class ShareInfo(Info, frozen=True, kw_only=True):
    """A link that shows one job."""

    id: str
    job_id: str
    user_id: str
    key_id: str
    """The key that it was made with, and ends with."""
    created_at: datetime
    expires_at: datetime
    url: str | None = None
    """To be opened in a browser; only in the answer that made it."""
    token: str | None = None


class SharingInfo(Info, frozen=True, kw_only=True):
    """Whether a tenant allows its jobs to be shared."""

    enabled: bool
