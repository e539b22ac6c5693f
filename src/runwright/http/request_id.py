"""The id of a request, in its answer's `x-request-id`, in errors and in logs."""

import re
from collections.abc import Mapping
from typing import Final

from litestar.types import Scope

from runwright.core.clock import Clock
from runwright.core.ids import new_id

_GIVEN: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")


def choose_request_id(headers: Mapping[bytes, bytes], clock: Clock) -> str:
    """Return the client's own id where it is harmless, else a fresh one."""
    given = headers.get(b"x-request-id")
    if given is not None and _GIVEN.fullmatch(given):
        return given.decode("ascii")
    return new_id("req", clock())


def keep_request_id(scope: Scope, request_id: str) -> None:
    scope["state"]["request_id"] = request_id


def request_id_of(scope: Scope) -> str:
    """Return the id that the front gave to this request."""
    return str(scope["state"]["request_id"])
