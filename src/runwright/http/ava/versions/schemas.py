"""The schemas of versions."""

import re
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.errors import InvalidError, NotFoundError
from runwright.http.ava.envelopes import PageQuery, Time, optional
from runwright.http.ava.workers.rules import ENTRYPOINT_LIMIT, check_entrypoint
from runwright.http.ava.workers.schemas import Entrypoint
from runwright.http.fields import format_time
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
    values = {name: getattr(version, name) for name in Version.__struct_fields__}
    return VersionOut(**values | {"created_at": format_time(version.created_at)})
