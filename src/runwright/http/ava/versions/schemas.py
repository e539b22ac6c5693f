"""The schemas of versions and deploys."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.errors import InvalidError, NotFoundError
from runwright.core.struct_fields import set_fields
from runwright.http.ava.envelopes import PageQuery, Time
from runwright.http.ava.workers.rules import ENTRYPOINT_LIMIT, check_entrypoint
from runwright.http.ava.workers.schemas import Entrypoint
from runwright.http.fields import to_out
from runwright.http.validation import Problem, Rule, Validator
from runwright.workers.model import Version, VersionSource, VersionStatus

FILE_FIELD: Final = "bundle"
MESSAGE_LIMIT: Final = 1_000
AUTHOR_LIMIT: Final = 200
KINDS: Final = ("application/zip", "application/gzip", "application/x-gzip", "application/x-tar+gzip")
SERVER_DEFAULT: Final = "default"
RUNTIME_VERSION: Final = rf"^({SERVER_DEFAULT}|[0-9]{{1,3}}(\.[0-9]{{1,3}})?)$"
VERSION_PATTERN: Final = "^[1-9][0-9]{0,8}$"
_IS_VERSION: Final = re.compile(VERSION_PATTERN.rstrip("$") + r"\Z")

_ARCHIVE: Final = {"schema": {"type": "string", "format": "binary"}}
_FORM: Final = {
    "schema": {
        "type": "object",
        "properties": {
            FILE_FIELD: {"type": "string", "format": "binary"},
            "entrypoint": {"type": "string", "minLength": 1, "maxLength": ENTRYPOINT_LIMIT},
            "runtime_version": {"type": "string", "pattern": RUNTIME_VERSION},
            "message": {"type": "string", "minLength": 1, "maxLength": MESSAGE_LIMIT},
            "author": {"type": "string", "minLength": 1, "maxLength": AUTHOR_LIMIT},
        },
        "required": [FILE_FIELD],
        "additionalProperties": False,
    },
    "example": {
        FILE_FIELD: "(the bytes of a zip archive with main.py)",
        "entrypoint": "main.py",
        "message": "Handle empty rows",
    },
}
BUNDLE_CONTENT: Final[dict[str, Any]] = {
    **dict.fromkeys(KINDS, _ARCHIVE),
    "multipart/form-data": _FORM,
}
"""The schemas of a deploy's body by content type."""


class DeployFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The text fields of a form that brings a bundle."""

    entrypoint: Entrypoint | UnsetType = UNSET
    runtime_version: (
        Annotated[
            str,
            Meta(
                pattern=RUNTIME_VERSION,
                description="Release line of the runtime that the code runs on, such as `3.12`; `default`:"
                " the one that the server prefers. Without it the worker's own is kept.",
                extra_json_schema={"examples": ["3.12"]},
            ),
        ]
        | UnsetType
    ) = UNSET
    message: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=MESSAGE_LIMIT,
                description="A message for readers of the list of versions.",
            ),
        ]
        | UnsetType
    ) = UNSET
    author: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=AUTHOR_LIMIT,
                description="The author; by default the user, or the name of the key.",
            ),
        ]
        | UnsetType
    ) = UNSET


TEXT_FIELDS: Final = DeployFields.__struct_fields__


class DeployQuery(DeployFields, frozen=True, kw_only=True):
    """The parameters of a deploy."""

    wait: Annotated[
        float,
        Meta(ge=0, le=60, description="Wait for the end of the build, for up to this many seconds."),
    ] = 0.0
    check: Annotated[
        bool,
        Meta(
            description="Import the code in a sandbox before it serves, with the worker's config and secrets;"
            " a version that cannot be imported has `failed`, and the one before keeps serving."
        ),
    ] = True


class RollbackIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The version to activate."""

    openapi_name: ClassVar[str] = "RollbackBody"

    version: Annotated[int, Meta(ge=1, le=999_999_999, description="A version that is `ready`.")]


class VersionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a worker's code."""

    worker_id: str
    version: Annotated[int, Meta(description="Counts up from 1.")]
    status: Annotated[
        VersionStatus,
        Meta(
            description="`building` while dependencies are installed; only a `ready` version can be active."
        ),
    ]
    active: Annotated[bool, Meta(description="Whether this is the active version, which attempts run.")]
    source: Annotated[VersionSource, Meta(description="`inline` source code or a deployed `bundle`.")]
    entrypoint: str
    runtime_version: Annotated[
        str | None,
        Meta(description="The release line of its runtime; null: the one that the server prefers."),
    ]
    source_code: Annotated[str | None, Meta(description="Of an inline version; null in lists.")]
    digest: Annotated[
        str | None,
        Meta(description="SHA-256 of a bundle's files in canonical form: equal files, equal digest."),
    ]
    size_bytes: Annotated[int | None, Meta(description="Of the source, or of all files unpacked.")]
    files: Annotated[int | None, Meta(description="Files in the bundle.")]
    error: Annotated[str | None, Meta(description="Why it failed.")]
    message: Annotated[str | None, Meta(description="The message that was given with the deploy.")]
    author: Annotated[
        str,
        Meta(description="The author that was given with the deploy; else the user, or the name of the key."),
    ]
    created_by: Annotated[str, Meta(description="The user or the key that created it.")]
    created_at: Time


class DeployedOut(VersionOut, frozen=True, kw_only=True):
    """The version that a deploy has created."""

    timed_out: Annotated[
        bool,
        Meta(description="The seconds of `wait` have passed, and the version is still `building`."),
    ]


class VersionLogOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the installer of a version's dependencies has printed."""

    worker_id: str
    version: int
    status: VersionStatus
    log: Annotated[
        str, Meta(description="Empty where nothing was installed; of a long log the beginning and the end.")
    ]


def _plain_line(text: str) -> Iterable[Problem]:
    if any(ord(character) < ord(" ") or character == "\x7f" for character in text):
        yield "", "Must not hold control characters."


def _plain_text(text: str) -> Iterable[Problem]:
    return _plain_line(text.replace("\n", " ").replace("\t", " "))


_RULES: Final[dict[str, Rule]] = {
    "entrypoint": check_entrypoint,
    "message": _plain_text,
    "author": _plain_line,
}
DEPLOY_QUERY: Final = Validator(DeployQuery, _RULES)
_DEPLOY_FORM: Final = Validator(DeployFields, _RULES)
ROLLBACK: Final = Validator(RollbackIn)
LIST_VERSIONS: Final = Validator(PageQuery)


def deploy_fields(query: DeployQuery, form: dict[str, str]) -> DeployFields:
    """Return the fields that are in the query or the form of a deploy; InvalidError for one in both."""
    given = set_fields(query)
    if twice := form.keys() & given.keys():
        raise InvalidError({name: ["Is given in the query and in the form."] for name in twice})
    in_form = set_fields(_DEPLOY_FORM.from_json(msgspec.json.encode(form)))
    return DeployFields(**{name: value for name, value in (given | in_form).items() if name in TEXT_FIELDS})


def chosen_line(fields: DeployFields) -> str | None | UnsetType:
    """Return the release line that a deploy chooses: None for the one that the server prefers."""
    return None if fields.runtime_version == SERVER_DEFAULT else fields.runtime_version


def version_number(version: str) -> int:
    """Return the number of a version in a path; NotFoundError if it cannot be one."""
    if not _IS_VERSION.match(version):
        raise NotFoundError("There is no such version.")
    return int(version)


def version_out(version: Version) -> VersionOut:
    return to_out(VersionOut, version)


def deployed_out(version: Version, *, timed_out: bool) -> DeployedOut:
    return to_out(DeployedOut, version, timed_out=timed_out)
