"""The routes of versions: deploy a bundle, list, roll back."""

from typing import Final

from runwright.http.ava.authorization import READS, WRITES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, PageQuery, optional, page_of, read_number_page
from runwright.http.ava.versions.schemas import (
    BUNDLE_CONTENT,
    DEPLOY_QUERY,
    FILE_FIELD,
    KINDS,
    LIST_VERSIONS,
    ROLLBACK,
    TEXT_FIELDS,
    DeployedOut,
    DeployQuery,
    RollbackIn,
    VersionLogOut,
    VersionOut,
    chosen_line,
    deploy_fields,
    deployed_out,
    version_number,
    version_out,
)
from runwright.http.ava.workers.routes import worker_id_of
from runwright.http.ava.workers.schemas import WorkerOut, require_ready, require_version, worker_out
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes
from runwright.workers.model import DeployNote, VersionStatus

CHECK_SECONDS: Final = 15.0
"""How long a deploy waits for the import of code without dependencies."""

ROUTES: Final = Routes(AVA, "/v1/ava/workers/{worker_id}", tag="Workers")


@ROUTES.add(
    "POST",
    "/deploy",
    WRITES,
    "Deploy a bundle",
    query=DeployQuery,
    content=BUNDLE_CONTENT,
    errors=(404, 409, 422),
    unchanged="The active version has the same content; no version was created",
)
async def deploy_bundle(request: Request) -> Reply[Data[DeployedOut]]:
    """Creates a version from a `.zip` or `.tar.gz`, sent as the body or as the form field `bundle`.

    Where the whole archive is one folder and the entrypoint is in it, that folder is left out.
    Without `entrypoint` the worker's own is kept. The code is imported in a sandbox before it serves:
    the answer waits up to 15 seconds for that. A version with dependencies is `building` until they are
    installed, while the active version keeps serving. With `wait` the answer comes when it is `ready` or has
    `failed`, or with `timed_out`.
    """
    query = request.query(DEPLOY_QUERY)
    deployments, worker_id = request.services.deployments, worker_id_of(request)
    worker = await deployments.require_open(request.tenant_id, worker_id)
    async with request.edge.uploads.receive(
        request.tenant_id,
        request.headers.get(b"content-type", b""),
        request.spool,
        kinds=KINDS,
        file_field=FILE_FIELD,
        text_fields=TEXT_FIELDS,
    ) as upload:
        fields = deploy_fields(query, upload.fields)
        line = chosen_line(fields)
        runtime = (await request.services.reports.runtimes())[worker.runtime.value]
        require_ready(runtime)
        require_version(runtime, line)
        note = DeployNote(message=optional(fields.message), author=optional(fields.author))
        deployed = await deployments.deploy(
            request.caller,
            worker_id,
            upload.file,
            optional(fields.entrypoint),
            note,
            runtime_version=line,
            check=query.check,
        )
    wait = max(query.wait, CHECK_SECONDS) if deployed.check_only else query.wait
    version = await request.while_connected(deployments.wait_built(request.tenant_id, deployed.version, wait))
    timed_out = query.wait > 0 and version.status is VersionStatus.BUILDING
    return Reply(Data(deployed_out(version, timed_out=timed_out)), 201 if deployed.created else 200)


@ROUTES.add("GET", "/versions", READS, "List the versions of a worker", query=PageQuery, errors=(404, 422))
async def list_versions(request: Request) -> Page[VersionOut]:
    """Returns versions newest first, without their source."""
    page = read_number_page(request.query(LIST_VERSIONS))
    listing = await request.services.deployments.list(request.tenant_id, worker_id_of(request), page)
    return page_of(listing, page, version_out)


@ROUTES.add("GET", "/versions/{version}", READS, "Get a version of a worker", errors=(404, 422))
async def get_version(request: Request) -> Data[VersionOut]:
    number, worker_id = version_number(request.params["version"]), worker_id_of(request)
    return Data(version_out(await request.services.deployments.get(request.tenant_id, worker_id, number)))


@ROUTES.add("GET", "/versions/{version}/log", READS, "Get the log of an installation", errors=(404, 422))
async def get_version_log(request: Request) -> Data[VersionLogOut]:
    """Returns the output of the installer of a version's dependencies, also while it runs."""
    number, worker_id = version_number(request.params["version"]), worker_id_of(request)
    found, log = await request.services.deployments.build_log(request.tenant_id, worker_id, number)
    return Data(VersionLogOut(worker_id=worker_id, version=number, status=found.status, log=log))


@ROUTES.add(
    "POST",
    "/rollback",
    WRITES,
    "Activate another version",
    body=RollbackIn,
    status=200,
    errors=(404, 409, 422),
    example={"version": 1},
)
async def roll_back(request: Request) -> Data[WorkerOut]:
    """Makes an older or a newer version active; attempts that start from now on use it."""
    deployments, worker_id = request.services.deployments, worker_id_of(request)
    await deployments.require_open(request.tenant_id, worker_id)
    number = (await request.body(ROLLBACK)).version
    return Data(worker_out(await deployments.rollback(request.caller, worker_id, number)))
