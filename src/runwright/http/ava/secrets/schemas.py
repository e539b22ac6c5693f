"""The schemas of secrets. They accept values and return none."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.errors import InvalidError
from runwright.http.ava.envelopes import PageQuery, Time
from runwright.http.ava.workers.rules import NAME_LIMIT, check_env_name
from runwright.http.fields import storable_text, to_out
from runwright.http.validation import Problem, Validator
from runwright.secrets.model import LONGEST_VALUE_BYTES, SHORTEST_VALUE, SecretInfo


class SecretIn(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a secret."""

    openapi_name: ClassVar[str] = "PutSecretBody"

    value: Annotated[
        str,
        Meta(
            description="4 characters to 64 KiB of UTF-8, white space at its ends not counted. It is never"
            " shown again.",
            extra_json_schema={
                "minLength": SHORTEST_VALUE,
                "maxLength": LONGEST_VALUE_BYTES,
                "pattern": r"^[^\u0000]*$",
            },
        ),
    ]


class SecretQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    q: (
        Annotated[str, Meta(max_length=NAME_LIMIT, description="Part of the name, in any case.")] | UnsetType
    ) = UNSET


class SecretOut(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, without its value."""

    name: Annotated[str, Meta(description="The name of the environment variable in the sandbox.")]
    updated_at: Annotated[Time, Meta(description="When its value was set.")]


_TOO_SHORT: Final = (
    f"Must have at least {SHORTEST_VALUE} characters besides white space at its ends: a shorter one"
    " could not be hidden in logs without hiding half of them."
)


def check_value(value: str) -> Iterable[Problem]:
    if len(value.strip()) < SHORTEST_VALUE:
        yield "", _TOO_SHORT
    if len(value) > LONGEST_VALUE_BYTES or len(value.encode()) > LONGEST_VALUE_BYTES:
        yield "", f"Must have at most {LONGEST_VALUE_BYTES} bytes in UTF-8."
    yield from storable_text(value)


_PUT_SECRET: Final = Validator(SecretIn, {"value": check_value})
LIST_SECRETS: Final = Validator(SecretQuery, {"q": storable_text})


def read_secret(name: str, body: bytes) -> str:
    """Return the value in a body for the secret of that name."""
    problems: dict[str, list[str]] = {}
    if problem := check_env_name(name):
        problems["name"] = [problem]
    value = ""
    try:
        value = _PUT_SECRET.from_json(body).value
    except InvalidError as error:
        known = {field: messages for field, messages in error.fields.items() if field in {"value", "body"}}
        if known.keys() != error.fields.keys():  # the name of another field may be a misplaced secret
            known.setdefault("body", []).append("Must hold `value` and nothing else.")
        problems |= known
    if problems:
        raise InvalidError(problems)
    return value


def secret_out(secret: SecretInfo) -> SecretOut:
    return to_out(SecretOut, secret)
