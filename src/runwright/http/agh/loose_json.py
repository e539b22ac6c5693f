"""Reading JSON as Go's `encoding/json` does: names in any case, null as absent, whatever follows ignored."""

import json
from typing import Final, NoReturn

from runwright.automations.errors import DefinitionError
from runwright.core.template_context import Json

_INT_LIMIT: Final = 2**63
_KINDS: Final = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def read_json(body: bytes, what: str) -> "Fields":
    """Return the object that a body begins with; DefinitionError where it is none."""
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        _refuse(what, "EOF")
    try:
        value, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        reason = "unexpected EOF" if error.pos >= len(text.rstrip()) else f"{error.msg} at {error.pos}"
        _refuse(what, reason)
    except ValueError as error:
        _refuse(what, str(error))
    except RecursionError:
        _refuse(what, "exceeded max depth")
    if value is None:
        value = {}
    if not isinstance(value, dict):
        _refuse(what, f"json: cannot unmarshal {_KINDS[type(value)]} into Go value of type object")
    return Fields(value, what)


def _refuse(what: str, reason: str) -> NoReturn:
    raise DefinitionError(f"httpapi: decode {what} request: {reason}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)  # noqa: PLR2004  as many as 64 bits have


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_int=_whole)


class Fields:
    """The fields of an object, each asked for by its name and type; what is null is not there."""

    def __init__(self, values: dict[str, Json], what: str, path: str = "") -> None:
        self._values = {name.lower(): value for name, value in values.items() if value is not None}
        self._what = what
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """Return a text without white space around it."""
        value = self._values.get(name, default)
        if not isinstance(value, str):
            self._mismatch(name, value, "string")
        return self._storable(value, name).strip()

    def raw_text(self, name: str) -> str:
        """Return a text as it is."""
        value = self._values.get(name, "")
        if not isinstance(value, str):
            self._mismatch(name, value, "string")
        return self._storable(value, name)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            self._mismatch(name, value, "bool")
        return value

    def number(self, name: str, default: int = 0) -> int:
        value = self._values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _INT_LIMIT:
            self._mismatch(name, value, "int")
        return value

    def object(self, name: str) -> "Fields | None":
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._mismatch(name, value, "object")
        return Fields(value, self._what, f"{self._path}{name}.")

    def texts(self, name: str) -> dict[str, str]:
        """Return an object whose values are texts; its names keep their case."""
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._mismatch(name, value, "map[string]string")
        texts = {}
        for key, text in value.items():
            if text is not None and not isinstance(text, str):
                self._mismatch(f"{name}.{key[:100]}", text, "string")
            texts[self._storable(key, name)] = self._storable(text or "", name)
        return texts

    def json(self, name: str) -> Json:
        """Return a value of any type."""
        return self._values.get(name)

    def _storable(self, text: str, name: str) -> str:
        """Put a sign in place of half characters, as Go does; PostgreSQL cannot hold NUL at all."""
        if "\0" in text:
            raise DefinitionError(f"{self._path}{name} must not hold the character NUL")
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _mismatch(self, name: str, value: Json, kind: str) -> NoReturn:
        found = "null" if value is None else _KINDS[type(value)]
        if found == "number":
            found = f"number {str(value)[:40]}"
        _refuse(
            self._what,
            f"json: cannot unmarshal {found} into Go struct field {self._path}{name} of type {kind}",
        )
