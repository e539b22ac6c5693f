"""The schemas of shares, and of a job as its visitors see it."""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from runwright.core.job_state import JobStatus, Trigger
from runwright.http.ava.envelopes import AnyJson, JsonObject, Time
from runwright.http.ava.jobs.schemas import JobOut, ProgressOut, job_out
from runwright.http.fields import format_time, to_out
from runwright.http.validation import Validator
from runwright.jobs.model import NULL, Job, JobError
from runwright.tenants.job_shares import LONGEST_SHARE_SECONDS, SHARE_SECONDS
from runwright.tenants.model import JobShare

_SHORTEST: Final = 60


class ShareIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A share to make."""

    openapi_name: ClassVar[str] = "ShareJobBody"

    ttl_seconds: Annotated[
        int, Meta(ge=_SHORTEST, le=LONGEST_SHARE_SECONDS, description="For how long the link works.")
    ] = SHARE_SECONDS


class ShareOut(msgspec.Struct, frozen=True, kw_only=True):
    """A link that shows one job."""

    openapi_name: ClassVar[str] = "JobShare"

    id: Annotated[str, Meta(description="`shr_` and a lower-case ULID.")]
    job_id: str
    user_id: Annotated[str, Meta(description="Who made it.")]
    key_id: Annotated[str, Meta(description="The key that it was made with, and ends with.")]
    created_at: Time
    expires_at: Time


class NewShareOut(ShareOut, frozen=True, kw_only=True):
    """A link that was made: its address is shown this once."""

    openapi_name: ClassVar[str] = "NewJobShare"

    url: Annotated[str, Meta(description="To be opened in a browser; its page reads the job.")]
    token: Annotated[str, Meta(description="The part after `#token=`.")]


class SharingIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whether the tenant allows its jobs to be shared."""

    openapi_name: ClassVar[str] = "ChangeSharingBody"

    enabled: Annotated[bool, Meta(description="False ends all links that there are.")]


class SharingOut(msgspec.Struct, frozen=True):
    """Whether the tenant allows its jobs to be shared."""

    openapi_name: ClassVar[str] = "JobSharing"

    enabled: bool


class SharedJobQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to leave out."""

    payloads: Annotated[
        bool, Meta(description="False: without `input` and `output`, which are `{}` and null.")
    ] = True


class SharedJobOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the visitors of a link see it: nothing that leads to others of the tenant."""

    openapi_name: ClassVar[str] = "SharedJob"

    id: str
    worker_name: str | None
    worker_version: int
    status: JobStatus
    trigger: Trigger
    input: JsonObject
    output: AnyJson
    error: JobError | None
    attempt: int
    max_retries: int
    created_at: Time
    scheduled_at: Time | None
    started_at: Time | None
    completed_at: Time | None
    cancel_requested_at: Time | None
    duration_ms: int | None
    progress: ProgressOut | None
    shared_until: Annotated[Time, Meta(description="When the link expires.")]


CREATE_SHARE: Final = Validator(ShareIn)
CHANGE_SHARING: Final = Validator(SharingIn)
SHARED_JOB: Final = Validator(SharedJobQuery)


def share_out(share: JobShare) -> ShareOut:
    return to_out(ShareOut, share)


def new_share_out(share: JobShare, base: str, text: str) -> NewShareOut:
    """Return a new share; `base` is the address of the dashboard.

    The fragment of an address is not sent to servers, so it is in no log.
    """
    return to_out(NewShareOut, share, url=f"{base}/shared#token={text}", token=text)


def shared_job_out(job: Job, share: JobShare, *, payloads: bool) -> SharedJobOut:
    """Return the job of a share."""
    shown: JobOut = job_out(job)
    fields = {
        name: getattr(shown, name)
        for name in SharedJobOut.__struct_fields__
        if name in JobOut.__struct_fields__
    }
    if not payloads:
        fields |= {"input": _NOTHING, "output": NULL}
    return SharedJobOut(**fields, shared_until=format_time(share.expires_at))


_NOTHING: Final = msgspec.Raw(b"{}")
