"""The routes of shares: links that show one job to people without a key.

A visitor sends the token of the link as a bearer token, to `/v1/shared` only; it is no key, and a key is no
token. No cookie is read or set here.
"""

from typing import Final

from runwright.core.ids import JobId
from runwright.http.ava.authorization import LOOKS_UP, READS, SHARES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, known_id, optional
from runwright.http.ava.jobs.log_schemas import READ_LOGS, JobLogsOut, LogQuery, logs_out, read_end
from runwright.http.ava.shares.schemas import (
    CHANGE_SHARING,
    CREATE_SHARE,
    SHARED_JOB,
    NewShareOut,
    SharedJobOut,
    SharedJobQuery,
    ShareIn,
    ShareOut,
    SharingIn,
    SharingOut,
    new_share_out,
    share_out,
    shared_job_out,
)
from runwright.http.principal import bearer_token, client_address, require_single
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes
from runwright.http.session_cookie import own_address
from runwright.tenants.model import JobShare

ROUTES: Final = Routes(AVA, "/v1/ava/jobs/{job_id}/shares", tag="Jobs")
SHARING_ROUTES: Final = Routes(AVA, "/v1/ava/sharing", tag="Jobs")
VISITOR_ROUTES: Final = Routes(AVA, "/v1/shared", tag="Jobs")

_OK: Final = 200
_UNINDEXED: Final = {"x-robots-tag": "noindex, nofollow"}


@ROUTES.add("POST", "", SHARES, "Share a job", body=ShareIn, errors=(404, 422), example={"ttl_seconds": 3600})
async def create_share(request: Request) -> Data[NewShareOut]:
    """Makes a link that shows this job to anyone who has it: state, input, output and log, until it expires.

    The tenant has to allow it (`PUT /v1/ava/sharing`). The link ends with the key that it was made with.
    """
    job_id = _job_id(request)
    body = await request.body(CREATE_SHARE)
    await request.services.jobs.get(request.tenant_id, job_id)
    share, text = await request.services.shares.create(request.caller, job_id, seconds=body.ttl_seconds)
    return Data(new_share_out(share, own_address(request), text))


@ROUTES.add("GET", "", READS, "List the shares of a job", errors=(404, 422))
async def list_shares(request: Request) -> Data[list[ShareOut]]:
    """Returns the links that work, newest first, without their addresses."""
    job_id = _job_id(request)
    await request.services.jobs.get(request.tenant_id, job_id)
    shares = await request.services.shares.list(request.tenant_id, job_id)
    return Data([share_out(share) for share in shares])


@ROUTES.add("DELETE", "/{share_id}", SHARES, "Revoke a share", errors=(404, 422))
async def revoke_share(request: Request) -> None:
    """The link shows nothing any more, everywhere within two seconds."""
    share_id = known_id("shr", "share of this job", request.params["share_id"])
    await request.services.shares.revoke(request.caller, _job_id(request), share_id)


@SHARING_ROUTES.add("GET", "", LOOKS_UP, "Show whether jobs may be shared", errors=(422,))
async def show_sharing(request: Request) -> Data[SharingOut]:
    return Data(SharingOut(await request.services.shares.is_allowed(request.tenant_id)))


@SHARING_ROUTES.add(
    "PUT",
    "",
    SHARES,
    "Allow or forbid sharing of jobs",
    body=SharingIn,
    errors=(422,),
    example={"enabled": True},
)
async def change_sharing(request: Request) -> Data[SharingOut]:
    """Whether links to single jobs may be made, for people without a key. By default they may not.

    Forbidding it ends all links that there are.
    """
    body = await request.body(CHANGE_SHARING)
    await request.services.shares.set_allowed(request.caller, allowed=body.enabled)
    return Data(SharingOut(body.enabled))


@VISITOR_ROUTES.add("GET", "/job", None, "Get a shared job", query=SharedJobQuery, errors=(401, 404, 422))
async def show_job(request: Request) -> Reply[Data[SharedJobOut]]:
    """For anyone who has a link: the job that it shows. The token is sent as a bearer token."""
    query = request.query(SHARED_JOB)
    share = await _visit(request)
    job = await request.services.jobs.get(share.tenant_id, JobId(share.job_id))
    shown = shared_job_out(job, share, payloads=query.payloads)
    return Reply(Data(shown), _OK, _UNINDEXED)


@VISITOR_ROUTES.add(
    "GET", "/job/logs", None, "View the log of a shared job", query=LogQuery, errors=(401, 404, 422)
)
async def show_logs(request: Request) -> Reply[Data[JobLogsOut]]:
    """For anyone who has a link: lines as the log of a job has them."""
    query = request.query(READ_LOGS)
    before = read_end(query)
    share = await _visit(request)
    logs = await request.services.job_views.logs(
        share.tenant_id,
        JobId(share.job_id),
        level=optional(query.level),
        limit=query.limit,
        after=optional(query.after),
        before=before,
        text=optional(query.q),
    )
    return Reply(Data(logs_out(logs, tail=before is not None)), _OK, _UNINDEXED)


async def _visit(request: Request) -> JobShare:
    """Return the share of a visitor. A suspended tenant shows nothing."""
    require_single(request, (b"authorization",))
    token = (bearer_token(request.headers) or b"").strip().decode("latin-1")
    share = await request.services.shares.visit(token, client_address(request))
    request.services.tenancy.status.require_active(share.tenant_id)
    return share


def _job_id(request: Request) -> JobId:
    return JobId(known_id("job", "job", request.params["job_id"]))
