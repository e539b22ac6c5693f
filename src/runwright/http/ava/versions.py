"""The routes of versions: deploy a bundle, list, go back."""

from typing import Final

from litestar import Controller, Response, get, post
from litestar.params import FromPath

from runwright.http.ava.auth import READS, WRITES, AvaRequest, read_headers
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.paging import PageQuery, read_number_page, show_page
from runwright.http.ava.shapes import version_wire, worker_wire
from runwright.http.ava.version_forms import (
    BUNDLE_CONTENT,
    DEPLOY_QUERY,
    FILE_FIELD,
    KINDS,
    LIST_VERSIONS,
    ROLLBACK,
    TEXT_FIELDS,
    DeployQuery,
    RollbackBody,
    chosen_entrypoint,
    known_version,
)
from runwright.http.ava.wire import Data, Page, VersionLogWire, VersionWire, WorkerWire
from runwright.http.ava.workers import known_worker
from runwright.http.body import read_json_body
from runwright.http.operations import Operation
from runwright.http.services import services_of
from runwright.http.uploads import uploads_of

_TAG: Final = "Workers"


class VersionRoutes(Controller):
    """Every code that a worker had, and which of them serves."""

    path = "/workers/{worker_id:str}"

    @post(
        "/deploy",
        guards=[WRITES],
        opt=Operation(
            "Deploy a bundle",
            tag=_TAG,
            query=DeployQuery,
            content=BUNDLE_CONTENT,
            errors=(404, 409, 422),
            unchanged="The active version is just that already; nothing was made",
        ).opt,
    )
    async def deploy_bundle(
        self, request: AvaRequest, worker_id: FromPath[str]
    ) -> Response[Data[VersionWire]]:
        """Makes a version of a `.zip` or `.tar.gz`, sent as the body or as the field `bundle` of a form.

        Where the whole archive is one folder and the entrypoint is in it, that folder is left out.
        Without `entrypoint` the worker's own is kept. A version without dependencies is `ready` and
        active at once; another is `building` first, and the version that serves goes on.
        """
        query = DEPLOY_QUERY.read_query(request.scope["query_string"])
        deployments, caller, worker_id = (
            services_of(request).deployments,
            request.user,
            known_worker(worker_id),
        )
        await deployments.require_open(caller.tenant_id, worker_id)
        async with uploads_of(request).receive(
            caller.tenant_id,
            read_headers(request.scope),
            request.receive,
            kinds=KINDS,
            file_field=FILE_FIELD,
            text_fields=TEXT_FIELDS,
        ) as upload:
            entrypoint = chosen_entrypoint(query, upload.fields)
            deployed = await deployments.deploy(caller, worker_id, upload.file, entrypoint)
        return Response(Data(version_wire(deployed.version)), status_code=201 if deployed.created else 200)

    @get(
        "/versions",
        guards=[READS],
        opt=Operation("List the versions of a worker", tag=_TAG, query=PageQuery, errors=(404, 422)).opt,
    )
    async def list_versions(self, request: AvaRequest, worker_id: FromPath[str]) -> Page[VersionWire]:
        """Newest first, without their source."""
        page = read_number_page(LIST_VERSIONS.read_query(request.scope["query_string"]))
        deployments = services_of(request).deployments
        listing = await deployments.list(request.user.tenant_id, known_worker(worker_id), page)
        return Page([version_wire(version) for version in listing.rows], show_page(listing, page))

    @get(
        "/versions/{version:str}",
        guards=[READS],
        opt=Operation("Get a version of a worker", tag=_TAG, errors=(404, 422)).opt,
    )
    async def get_version(
        self, request: AvaRequest, worker_id: FromPath[str], version: FromPath[str]
    ) -> Data[VersionWire]:
        NO_QUERY.read_query(request.scope["query_string"])
        number, worker_id = known_version(version), known_worker(worker_id)
        deployments = services_of(request).deployments
        return Data(version_wire(await deployments.get(request.user.tenant_id, worker_id, number)))

    @get(
        "/versions/{version:str}/log",
        guards=[READS],
        opt=Operation("Get the log of an installation", tag=_TAG, errors=(404, 422)).opt,
    )
    async def get_version_log(
        self, request: AvaRequest, worker_id: FromPath[str], version: FromPath[str]
    ) -> Data[VersionLogWire]:
        """What the installer of a version's dependencies prints, while it prints it."""
        NO_QUERY.read_query(request.scope["query_string"])
        number, worker_id = known_version(version), known_worker(worker_id)
        found, log = await services_of(request).deployments.build_log(
            request.user.tenant_id, worker_id, number
        )
        return Data(VersionLogWire(worker_id=worker_id, version=number, status=found.status, log=log))

    @post(
        "/rollback",
        guards=[WRITES],
        status_code=200,
        opt=Operation(
            "Let another version serve",
            tag=_TAG,
            body=RollbackBody,
            errors=(404, 409, 422),
            example={"version": 1},
        ).opt,
    )
    async def roll_back(self, request: AvaRequest, worker_id: FromPath[str]) -> Data[WorkerWire]:
        """To an older or a newer one; the next attempts use it. Versions still building stay inactive."""
        NO_QUERY.read_query(request.scope["query_string"])
        deployments, worker_id = services_of(request).deployments, known_worker(worker_id)
        await deployments.require_open(request.user.tenant_id, worker_id)
        body = await read_json_body(read_headers(request.scope), request.receive, request.app.state.edge)
        wanted = ROLLBACK.read_json(body).version
        return Data(worker_wire(await deployments.rollback(request.user, worker_id, wanted)))
