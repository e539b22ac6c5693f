"""Reading what requests bring: JSON bodies, which may be empty, and queries, of which the rest is ignored."""

from typing import Final
from urllib.parse import parse_qsl

from runwright.core.errors import MalformedError
from runwright.http.avala.auth import AvalaRequest
from runwright.http.body import read_json_body

_MOST_PARAMETERS: Final = 50
_EMPTY: Final = b"{}"


async def read_body(request: AvalaRequest) -> bytes:
    """Return the raw JSON of a request; a request without a body stands for an empty object."""
    headers = dict(request.scope["headers"])
    if b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0":
        return _EMPTY
    return await read_json_body(headers, request.receive, request.app.state.edge)


def read_query(request: AvalaRequest) -> dict[str, str]:
    """Return the query's parameters; of one given twice the last counts."""
    text = request.scope["query_string"].decode("latin-1")
    try:
        return dict(parse_qsl(text, max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        raise MalformedError("The query string has too many parameters.") from None
