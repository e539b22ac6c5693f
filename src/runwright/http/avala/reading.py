"""Reading requests: JSON bodies, which may be empty, and queries, whose unknown parameters are ignored."""

from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from runwright.core.errors import MalformedError
from runwright.http.request import Request
from runwright.http.validation import Rule, Validator

T = TypeVar("T", bound=msgspec.Struct)

_MOST_PARAMETERS: Final = 50
_EMPTY: Final = b"{}"


async def read_body(request: Request, validator: Validator[T], rules: Mapping[str, Rule] | None = None) -> T:
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
