"""`rw.shares`: links that show one job to people without a key."""

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.shares import ShareInfo, SharingInfo


class SharesApi(DualMode[M]):
    """Links that show one job, live and read-only, until they expire. The tenant has to allow them."""

    @call
    async def create(self, job_id: str, *, ttl_seconds: int | None = None) -> ShareInfo:
        """Make a link, by default for a day. Its `url` is in the result, and never again."""
        body = {} if ttl_seconds is None else {"ttl_seconds": ttl_seconds}
        return await self._session.read(ShareInfo, "POST /v1/ava/jobs/{job_id}/shares", job_id, json=body)

    @call
    async def list(self, job_id: str) -> list[ShareInfo]:
        """Return the links of a job that work, newest first."""
        return await self._session.read_list(ShareInfo, "GET /v1/ava/jobs/{job_id}/shares", job_id)

    @call
    async def revoke(self, job_id: str, share_id: str) -> None:
        """Let a link show nothing any more."""
        await self._session.send("DELETE /v1/ava/jobs/{job_id}/shares/{share_id}", job_id, share_id)

    @call
    async def allowed(self) -> bool:
        """Return whether the tenant allows its jobs to be shared."""
        return (await self._session.read(SharingInfo, "GET /v1/ava/sharing")).enabled

    @call
    async def allow(self, allowed: bool) -> bool:  # noqa: FBT001  it is the subject
        """Let the tenant allow shares, or forbid them, which ends all that there are."""
        sent = {"enabled": allowed}
        return (await self._session.read(SharingInfo, "PUT /v1/ava/sharing", json=sent)).enabled
