"""Read the bodies of incoming webhooks: compressed, in other encodings, forms, JSON.

Nothing is dropped silently: a body that cannot be read as its headers say raises `UnreadableBodyError`. AGH's
own webhooks ignore the content type (`strict` is false): there, what is no JSON object is a text.
"""

import json
import zlib
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from runwright.core.half_characters import replace_halves
from runwright.core.json_depth import nests_too_deeply
from runwright.core.template_context import Json

MOST_FIELDS: Final = 1_000
"""Of a form."""

_GZIP: Final = b"\x1f\x8b"
_ENCODINGS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""The content encodings that are read, with the window of zlib that selects their format."""
_CHARSETS: Final = {
    "utf-8": "utf-8-sig", "utf8": "utf-8-sig", "us-ascii": "utf-8-sig", "ascii": "utf-8-sig",
    "iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252",
    "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "utf-32": "utf-32", "utf-32le": "utf-32-le", "utf-32be": "utf-32-be",
}  # fmt: skip
_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/"
_BOM: Final = "\ufeff"


class UnreadableBodyError(ValueError):
    """The body cannot be read; the message says why."""


class OversizedBodyError(ValueError):
    """The body is larger than allowed once it is decompressed."""


class WebhookBody(msgspec.Struct, frozen=True, kw_only=True):
    """A body as text, and its fields, if it has any."""

    text: str
    fields: dict[str, Json] | None


def is_form(content_type: str) -> bool:
    """Return whether a body is an HTML form."""
    return _media_type(content_type) == _FORM


def is_compressed(body: bytes, content_encoding: str) -> bool:
    """Return whether a body has to be decompressed."""
    return body.startswith(_GZIP) or any(name in _ENCODINGS for name in _listed(content_encoding))


def read_webhook_body(
    body: bytes, *, content_type: str, content_encoding: str, strict: bool, limit_bytes: int
) -> WebhookBody:
    """Return a body as text, with its fields. Raises UnreadableBodyError, OversizedBodyError."""
    body = _decompressed(body, content_encoding, limit_bytes)
    kind = _media_type(content_type)
    text = _decoded(body, content_type, strict=strict)
    readable = replace_halves(text) if strict else text
    fields = _json_object(readable)
    if fields is not None:
        return WebhookBody(text=text, fields=fields)
    if not strict:
        return WebhookBody(text=text if _is_whole(text) else body.decode(errors="replace"), fields=None)
    if kind == _FORM:
        return _read_form(text)
    if kind.startswith(_MULTIPART):
        raise UnreadableBodyError(f"has the content type {kind}: send JSON or a urlencoded form")
    if kind.partition("/")[2].endswith("json") and text.strip():
        _require_json(readable)
    return WebhookBody(text=text, fields=None)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _listed(content_encoding: str) -> list[str]:
    names = (name.strip().lower() for name in content_encoding.split(","))
    return [name for name in names if name not in {"", "identity"}]


def _decompressed(body: bytes, content_encoding: str, limit_bytes: int) -> bytes:
    names = _listed(content_encoding)
    if not names and body.startswith(_GZIP):
        names = ["gzip"]
    for name in reversed(names[:2]):
        if name not in _ENCODINGS:
            raise UnreadableBodyError(f"has the content encoding {name[:40]}: send it plain or gzipped")
        body = _inflated(body, _ENCODINGS[name], limit_bytes)
    if len(names) > 2:  # noqa: PLR2004  no sender compresses thrice
        raise UnreadableBodyError("has too many content encodings")
    return body


def _inflated(body: bytes, window: int, limit_bytes: int) -> bytes:
    content = b""
    while body:  # gzip may have several members
        stream = zlib.decompressobj(window)
        try:
            content += stream.decompress(body, limit_bytes + 1 - len(content))
        except zlib.error as error:
            raise UnreadableBodyError(f"cannot be decompressed: {error}") from None
        if len(content) > limit_bytes:
            raise OversizedBodyError
        if not stream.eof:
            raise UnreadableBodyError("cannot be decompressed: it is cut off")
        body = stream.unused_data
    return content


def _decoded(body: bytes, content_type: str, *, strict: bool) -> str:
    """Return a body as text: by its byte order mark, else its charset, else as JSON's first bytes say."""
    charset = _charset(content_type)
    codec = _CHARSETS.get(charset)
    if charset and codec is None and strict:
        raise UnreadableBodyError(f"has the unknown charset {charset[:40]}: send it in UTF-8")
    detected = json.detect_encoding(body)
    if codec is None or detected != "utf-8":
        codec = detected
    try:
        return body.decode(codec).removeprefix(_BOM)
    except UnicodeDecodeError:
        if strict:
            raise UnreadableBodyError(f"is not in {charset or codec}: send it in UTF-8") from None
        return body.decode(errors="replace")


def _charset(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'").lower()
    return ""


def _is_whole(text: str) -> bool:
    """Return whether a text that is no JSON may pass for what was sent."""
    return bool(text) and "\0" not in text


def _json_object(text: str) -> dict[str, Json] | None:
    """Return the fields of a text that is a JSON object, not nested too deeply; None for any other."""
    encoded = text.encode(errors="surrogatepass")
    try:
        fields: dict[str, Any] = msgspec.json.decode(encoded, type=dict[str, Any])
        msgspec.json.encode(fields)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return None
    return None if nests_too_deeply(encoded) else fields


def _require_json(text: str) -> None:
    encoded = text.encode(errors="surrogatepass")
    try:
        decoded = msgspec.json.decode(encoded)
        msgspec.json.encode(decoded)
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        raise UnreadableBodyError(f"is not valid JSON: {str(error)[:200]}") from None
    except RecursionError:
        decoded = None
    if isinstance(decoded, dict) or nests_too_deeply(encoded):
        raise UnreadableBodyError("is JSON that is nested too deeply")


def _read_form(text: str) -> WebhookBody:
    """Return the fields of a form; where one of them is `payload` with a JSON object, the fields of that.

    A field that is given several times is a list.
    """
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text.strip()), max_num_fields=MOST_FIELDS
        )
    except ValueError as error:
        raise UnreadableBodyError(f"is not a urlencoded form: {error}") from None
    given: dict[str, list[Json]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    fields: dict[str, Json] = {name: one[0] if len(one) == 1 else one for name, one in given.items()}
    payload = fields.get("payload")
    inner = _json_object(replace_halves(payload)) if isinstance(payload, str) else None
    if inner is not None:
        return WebhookBody(text=str(payload), fields=inner)
    return WebhookBody(text=text, fields=fields)
