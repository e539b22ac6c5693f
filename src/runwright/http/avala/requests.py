"""Read bodies, which may be empty, and queries, whose unknown parameters are ignored; link pages of lists.

A page has absolute links to the next and the previous one. A link includes the whole query of the request, so
that clients can follow it unchanged. Its host is `public_url` if that is set, else the request's Host header,
if that is the name or the address of a host and nothing else.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Meta

from runwright.core.errors import MalformedError, NotFoundError
from runwright.core.ids import Prefix, id_of_uuid, is_id
from runwright.core.paging import View, Window
from runwright.http.request import Request
from runwright.http.validation import Rule, Validator

B = TypeVar("B", bound=msgspec.Struct)

_MOST_PARAMETERS: Final = 50
_EMPTY: Final = b"{}"


async def read_body(request: Request, validator: Validator[B], rules: Mapping[str, Rule] | None = None) -> B:
    """Return the validated body; an empty one is read as an empty object."""
    headers = request.headers
    if b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0":
        return (validator if rules is None else validator.with_rules(rules)).from_json(_EMPTY)
    return await request.body(validator, rules)


def parse_query(query: bytes) -> dict[str, str]:
    """Return the parameters of a query string; of a repeated one the last value."""
    try:
        return dict(parse_qsl(query.decode("latin-1"), max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        raise MalformedError("The query string has too many parameters.") from None


_PAGE_SIZE: Final = 100
_LONGEST_CURSOR: Final = 64
_LONGEST_NUMBER: Final = 9
_OLDER, _NEWER = "o", "n"
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

T = TypeVar("T")


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Identified)

Link = Annotated[str | None, Meta(description="An absolute URL, or null.")]


class InvalidCursorError(NotFoundError):
    """The cursor does not belong to a list of this kind."""

    code: ClassVar[str] = "invalid_cursor"


class Page(msgspec.Struct, Generic[T], frozen=True):
    """The envelope of a list, newest first."""

    next: Link
    previous: Link
    results: list[T]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page."""

    cursor: Annotated[str, Meta(description="`cursor` of a link to another page.")] = ""
    limit: Annotated[
        int,
        Meta(description="Rows per page: 1 to 100; a greater number means 100, anything else is ignored."),
    ] = _PAGE_SIZE


def internal_id(prefix: Prefix, uid: str) -> str:
    """Return the internal id of a UUID in a path; NotFoundError."""
    found = id_of_uuid(prefix, uid)
    if found is None:
        raise NotFoundError("There is no such thing.")
    return found


Q = TypeVar("Q", bound=PageQuery)


class QueryReader(Validator[Q]):
    """Reads queries leniently: unknown parameters, and limits that are no positive numbers, are ignored."""

    def from_query(self, query: bytes) -> Q:
        given = parse_query(query)
        text = given.get("limit", "")
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else 0
        limit = min(number, _PAGE_SIZE) or _PAGE_SIZE
        return self.struct(cursor=given.get("cursor", ""), limit=limit, **self.further_fields(given))

    def further_fields(self, given: dict[str, str]) -> dict[str, object]:  # noqa: ARG002  for subclasses
        """Return the fields beyond those of a page; InvalidError."""
        return {}


PAGE: Final = QueryReader(PageQuery)


def read_window(query: PageQuery, prefix: Prefix) -> Window:
    """Return the window of rows that a query selects; InvalidCursorError."""
    if not query.cursor:
        return Window(limit=query.limit)
    side, row_id = _decode_cursor(query.cursor, prefix)
    if side == _OLDER:
        return Window(limit=query.limit, older_than=row_id)
    return Window(limit=query.limit, newer_than=row_id)


def page_out(request: Request, view: View[R], rows: Sequence[T]) -> Page[T]:
    """Return the page of a view; `rows` are its rows in the API's schema."""
    older = newer = None
    if view.rows:
        older = _link(request, _OLDER, view.rows[-1].id) if view.older else None
        newer = _link(request, _NEWER, view.rows[0].id) if view.newer else None
    return Page(older, newer, list(rows))


def _link(request: Request, side: str, row_id: str) -> str:
    cursor = base64.urlsafe_b64encode(f"{side}{row_id}".encode()).decode().rstrip("=")
    path = request.scope["path"].rstrip("/") + "/"
    return f"{_base_url(request)}{path}?{urlencode(parse_query(request.query_string) | {'cursor': cursor})}"


def _base_url(request: Request) -> str:
    public_url: str = request.edge.settings.public_url
    if public_url:
        return public_url
    hosts = [value for name, value in request.scope["headers"] if name == b"host"]
    if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
        return f"http://{hosts[0].decode('ascii')}"
    host, port = request.scope["server"] or ("localhost", None)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}" if port is None else f"http://{host}:{port}"


def _decode_cursor(cursor: str, prefix: Prefix) -> tuple[str, str]:
    if len(cursor) <= _LONGEST_CURSOR and cursor.isascii():
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            content = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            content = ""
        if content[:1] in {_OLDER, _NEWER} and is_id(prefix, content[1:]):
            return content[0], content[1:]
    raise InvalidCursorError("Invalid cursor")
