"""The routes and schemas of versions: deploy a bundle, list, roll back."""

import re
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.errors import InvalidError, NotFoundError
from runwright.http.ava.authorization import READS, WRITES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, PageQuery, Time, optional, page_of, read_number_page
from runwright.http.ava.workers.routes import worker_id_of
from runwright.http.ava.workers.rules import ENTRYPOINT_LIMIT, check_entrypoint
from runwright.http.ava.workers.schemas import Entrypoint, WorkerOut, worker_out
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes
from runwright.http.validation import Validator
from runwright.workers.model import Version, VersionSource, VersionStatus

FILE_FIELD: Final = "bundle"
TEXT_FIELDS: Final = ("entrypoint",)
KINDS: Final = ("application/zip", "application/gzip", "application/x-gzip", "application/x-tar+gzip")
VERSION_PATTERN: Final = "^[1-9][0-9]{0,8}$"
_IS_VERSION: Final = re.compile(VERSION_PATTERN.rstrip("$") + r"\Z")

_ARCHIVE: Final = {"schema": {"type": "string", "format": "binary"}}
_FORM: Final = {
    "schema": {
        "type": "object",
        "properties": {
            FILE_FIELD: {"type": "string", "format": "binary"},
            "entrypoint": {"type": "string", "minLength": 1, "maxLength": ENTRYPOINT_LIMIT},
        },
        "required": [FILE_FIELD],
        "additionalProperties": False,
    }
}
BUNDLE_CONTENT: Final[dict[str, Any]] = {
    **dict.fromkeys(KINDS, _ARCHIVE),
    "multipart/form-data": _FORM,
}
"""The schemas of a deploy's body by content type."""


class DeployQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The parameters of a deploy."""

    entrypoint: Entrypoint | UnsetType = UNSET


class RollbackIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which version is to serve."""

    openapi_name: ClassVar[str] = "RollbackBody"

    version: Annotated[int, Meta(ge=1, le=999_999_999, description="A version that is `ready`.")]


class VersionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a worker's code."""

    worker_id: str
    version: Annotated[int, Meta(description="Counts up from 1.")]
    status: Annotated[
        VersionStatus,
        Meta(description="`building` while dependencies are installed; only a `ready` version can serve."),
    ]
    active: Annotated[bool, Meta(description="It is the one that serves.")]
    source: Annotated[VersionSource, Meta(description="`inline` source code or a deployed `bundle`.")]
    entrypoint: str
    source_code: Annotated[str | None, Meta(description="Of an inline version; null in lists.")]
    digest: Annotated[
        str | None,
        Meta(description="SHA-256 of a bundle's files in canonical form: equal files, equal digest."),
    ]
    size_bytes: Annotated[int | None, Meta(description="Of the source, or of all files unpacked.")]
    files: Annotated[int | None, Meta(description="Files in the bundle.")]
    error: Annotated[str | None, Meta(description="Why it failed.")]
    created_by: Annotated[str, Meta(description="The user or the key that made it.")]
    created_at: Time


class VersionLogOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the installer of a version's dependencies has printed."""

    worker_id: str
    version: int
    status: VersionStatus
    log: Annotated[
        str, Meta(description="Empty where nothing was installed; of a long log the beginning and the end.")
    ]


_RULES: Final = {"entrypoint": check_entrypoint}
DEPLOY_QUERY: Final = Validator(DeployQuery, _RULES)
ROLLBACK: Final = Validator(RollbackIn)
LIST_VERSIONS: Final = Validator(PageQuery)


def chosen_entrypoint(query: DeployQuery, fields: dict[str, str]) -> str | None:
    """Return the entrypoint in the query or the form of a deploy."""
    named = fields.get("entrypoint")
    if named is None:
        return optional(query.entrypoint)
    if query.entrypoint is not UNSET:
        raise InvalidError({"entrypoint": ["Is given in the query and in the form."]})
    problems = [message for _, message in check_entrypoint(named)]
    if not 1 <= len(named) <= ENTRYPOINT_LIMIT:
        problems = [f"Must have 1 to {ENTRYPOINT_LIMIT} characters."]
    if problems:
        raise InvalidError({"entrypoint": problems})
    return named


def version_number(version: str) -> int:
    """Return the number of a version in a path; NotFoundError if it cannot be one."""
    if not _IS_VERSION.match(version):
        raise NotFoundError("There is no such version.")
    return int(version)


def version_out(version: Version) -> VersionOut:
    return to_out(VersionOut, version)


ROUTES: Final = Routes(AVA, "/v1/ava/workers/{worker_id}", tag="Workers")


@ROUTES.add(
    "POST",
    "/deploy",
    WRITES,
    "Deploy a bundle",
    query=DeployQuery,
    content=BUNDLE_CONTENT,
    errors=(404, 409, 422),
    unchanged="The active version is just that already; nothing was made",
)
async def deploy_bundle(request: Request) -> Reply[Data[VersionOut]]:
    """Makes a version of a `.zip` or `.tar.gz`, sent as the body or as the field `bundle` of a form.

    Where the whole archive is one folder and the entrypoint is in it, that folder is left out.
    Without `entrypoint` the worker's own is kept. A version without dependencies is `ready` and
    active at once; another is `building` first, while the active version keeps serving.
    """
    query = request.query(DEPLOY_QUERY)
    deployments, worker_id = request.services.deployments, worker_id_of(request)
    await deployments.require_open(request.tenant_id, worker_id)
    async with request.edge.uploads.receive(
        request.tenant_id,
        request.headers.get(b"content-type", b""),
        request.spool,
        kinds=KINDS,
        file_field=FILE_FIELD,
        text_fields=TEXT_FIELDS,
    ) as upload:
        entrypoint = chosen_entrypoint(query, upload.fields)
        deployed = await deployments.deploy(request.caller, worker_id, upload.file, entrypoint)
    return Reply(Data(version_out(deployed.version)), 201 if deployed.created else 200)


@ROUTES.add("GET", "/versions", READS, "List the versions of a worker", query=PageQuery, errors=(404, 422))
async def list_versions(request: Request) -> Page[VersionOut]:
    """Newest first, without their source."""
    page = read_number_page(request.query(LIST_VERSIONS))
    listing = await request.services.deployments.list(request.tenant_id, worker_id_of(request), page)
    return page_of(listing, page, version_out)


@ROUTES.add("GET", "/versions/{version}", READS, "Get a version of a worker", errors=(404, 422))
async def get_version(request: Request) -> Data[VersionOut]:
    number, worker_id = version_number(request.params["version"]), worker_id_of(request)
    return Data(version_out(await request.services.deployments.get(request.tenant_id, worker_id, number)))


@ROUTES.add("GET", "/versions/{version}/log", READS, "Get the log of an installation", errors=(404, 422))
async def get_version_log(request: Request) -> Data[VersionLogOut]:
    """What the installer of a version's dependencies prints, while it prints it."""
    number, worker_id = version_number(request.params["version"]), worker_id_of(request)
    found, log = await request.services.deployments.build_log(request.tenant_id, worker_id, number)
    return Data(VersionLogOut(worker_id=worker_id, version=number, status=found.status, log=log))


@ROUTES.add(
    "POST",
    "/rollback",
    WRITES,
    "Let another version serve",
    body=RollbackIn,
    status=200,
    errors=(404, 409, 422),
    example={"version": 1},
)
async def roll_back(request: Request) -> Data[WorkerOut]:
    """To an older or a newer one; the next attempts use it. Versions still building stay inactive."""
    deployments, worker_id = request.services.deployments, worker_id_of(request)
    await deployments.require_open(request.tenant_id, worker_id)
    number = (await request.body(ROLLBACK)).version
    return Data(worker_out(await deployments.rollback(request.caller, worker_id, number)))
