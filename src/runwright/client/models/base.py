"""The base of all results."""

from typing import TypeVar

import msgspec

from runwright.client.errors import ApiError

_RAW = "_raw"


class Info(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A result; `raw` is the JSON that the server sent, with all of its fields."""

    @property
    def raw(self) -> bytes:
        """The JSON of it."""
        found = self.__dict__.get(_RAW)
        return msgspec.json.encode(self) if found is None else bytes(found)


I = TypeVar("I", bound=Info)  # noqa: E741  of Info


def decode_info(kind: type[I], raw: msgspec.Raw | bytes | None) -> I:
    """Return the result in JSON. ApiError where it is none of its kind."""
    try:
        result = msgspec.json.decode(b"" if raw is None else raw, type=kind)
    except msgspec.DecodeError as error:
        message = f"The answer is not what a Runwright server of this version sends: {error}."
        raise ApiError(message, status=200, code="unexpected_answer") from None
    result.__dict__[_RAW] = raw
    return result
