"""The routes of the files of versions: list them, read one, compare two versions."""

from typing import Final

from runwright.http.ava.authorization import READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, optional
from runwright.http.ava.version_files.schemas import (
    COMPARE_VERSIONS,
    LIST_FILES,
    READ_FILE,
    DiffQuery,
    FileContentOut,
    FileQuery,
    FilesQuery,
    VersionDiffOut,
    VersionFilesOut,
    content_out,
    diff_out,
    files_out,
)
from runwright.http.ava.versions.schemas import version_number
from runwright.http.ava.workers.routes import worker_id_of
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/ava/workers/{worker_id}", tag="Workers")


@ROUTES.add(
    "GET",
    "/versions/{version}/files",
    READS,
    "List the files of a version",
    query=FilesQuery,
    errors=(404, 422),
)
async def list_version_files(request: Request) -> Data[VersionFilesOut]:
    """Returns files sorted by path; inline source is one file.

    `next_after` of a page is `after` of the next.
    """
    query, number = request.query(LIST_FILES), version_number(request.params["version"])
    listing = await request.services.contents.files(
        request.tenant_id,
        worker_id_of(request),
        number,
        after=optional(query.after) or "",
        limit=query.limit,
    )
    return Data(files_out(listing))


@ROUTES.add(
    "GET",
    "/versions/{version}/files/content",
    READS,
    "Read a file of a version",
    query=FileQuery,
    errors=(404, 422),
)
async def read_version_file(request: Request) -> Data[FileContentOut]:
    """Returns the first 512 KiB of the file: as text, or in base64 if it is not UTF-8."""
    query, number = request.query(READ_FILE), version_number(request.params["version"])
    contents = request.services.contents
    return Data(
        content_out(await contents.file(request.tenant_id, worker_id_of(request), number, query.path))
    )


@ROUTES.add("GET", "/diff", READS, "Compare two versions", query=DiffQuery, errors=(404, 422))
async def compare_versions(request: Request) -> Data[VersionDiffOut]:
    """Returns unified diffs of the text files that differ, sorted by path. Dependencies are not compared.

    Binary files, and those over 256 KiB, are named without a diff. Of more than 500 files the first ones
    are returned, and 1 MiB of diffs in all.
    """
    query = request.query(COMPARE_VERSIONS)
    contents = request.services.contents
    return Data(
        diff_out(await contents.diff(request.tenant_id, worker_id_of(request), query.from_, query.to))
    )
