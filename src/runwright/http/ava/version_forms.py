"""What requests about versions may hold."""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.errors import InvalidError, NotFoundError
from runwright.http.ava.paging import PageQuery
from runwright.http.ava.worker_forms import Entrypoint
from runwright.http.ava.worker_rules import ENTRYPOINT_LIMIT, check_entrypoint
from runwright.http.checks import Form

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
"""The bodies of a deploy, as OpenAPI has them."""


class DeployQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a deploy says beside its archive."""

    entrypoint: Entrypoint | UnsetType = UNSET


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which version is to serve."""

    version: Annotated[int, Meta(ge=1, le=999_999_999, description="A version that is `ready`.")]


_RULES: Final = {"entrypoint": check_entrypoint}
DEPLOY_QUERY: Final = Form(DeployQuery, _RULES)
ROLLBACK: Final = Form(RollbackBody)
LIST_VERSIONS: Final = Form(PageQuery)


def chosen_entrypoint(query: DeployQuery, fields: dict[str, str]) -> str | None:
    """Return the entrypoint that a deploy names, in its query or its form."""
    named = fields.get("entrypoint")
    if named is None:
        return None if query.entrypoint is UNSET else query.entrypoint
    if query.entrypoint is not UNSET:
        raise InvalidError({"entrypoint": ["Is given in the query and in the form."]})
    problems = [message for _, message in check_entrypoint(named)]
    if not 1 <= len(named) <= ENTRYPOINT_LIMIT:
        problems = [f"Must have 1 to {ENTRYPOINT_LIMIT} characters."]
    if problems:
        raise InvalidError({"entrypoint": problems})
    return named


def known_version(version: str) -> int:
    """Return the number of a version in a path."""
    if not _IS_VERSION.match(version):
        raise NotFoundError("There is no such version.")
    return int(version)
