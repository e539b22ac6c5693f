"""The largest and worst input that each route takes: bodies, queries and headers, made from what it documents."""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import inspect

from runwright.http.agh.routes import agh_routes
from runwright.http.ava.routes import ava_routes
from runwright.http.avala.routes import avala_routes
from runwright.http.routing import Route

BODY_BYTES: Final = 2 * 1024 * 1024
HEAD_BYTES: Final = 30_000


def routes() -> list[Route]:
    """Return all routes of all dialects."""
    return [*ava_routes(), *avala_routes(), *agh_routes()]


def _filled(begin: bytes, part: bytes, end: bytes, size: int) -> bytes:
    return begin + part * ((size - len(begin) - len(end)) // len(part)) + end


def values(size: int) -> dict[str, bytes]:
    """Return JSON values of about a size, by what is bad about them."""
    deep = b"[" * 60 + b"]" * 60 + b","
    objects = b'{"a":' * 60 + b"0" + b"}" * 60 + b","
    keys = b",".join(b'"%d":0' % n for n in range(size // 9))
    return {
        "many lists": _filled(b"[", b"[],", b"0]", size),
        "many objects": _filled(b"[", b"{},", b"0]", size),
        "nested lists": _filled(b"[", deep, b"0]", size),
        "nested objects": _filled(b"[", objects, b"0]", size),
        "many keys": b"{" + keys + b"}",
        "numbers": _filled(b"[", b"1,", b"0]", size),
        "long exponents": _filled(b"[", b"1e000,", b"0]", size),
        "one long number": b"1" * (size - 10),
        "long integers": _filled(b"[", b"9" * 4299 + b",", b"0]", size),
        "strings": _filled(b"[", b'"a",', b'""]', size),
        "brackets in strings": _filled(b"[", b'"[[",', b'""]', size),
        "a long string": _filled(b'"', b"a", b'"', size),
        "a string of escapes": _filled(b'"', b"\\u0041", b'"', size),
        "a string of backslashes": _filled(b'"', b"\\\\", b'"', size),
        "a string of accents": _filled(b'"', "é".encode(), b'"', size),
        "a string of spaces": _filled(b'"', b" ", b'"', size),
        "a string of dots": _filled(b'"', b"a.", b'"', size),
        "a string of stars": _filled(b'"', b"*", b'"', size),
        "a string of slashes": _filled(b'"', b"../", b'"', size),
        "a string of commas": _filled(b'"', b"1,", b'"', size),
        "a template": _filled(b'"', b"{{.Data.a}}", b'"', size),
        "an open template": _filled(b'"', b"{{if .}}", b'"', size),
        "half characters": _filled(b'"', b"\\ud800", b'"', size),
    }


def bodies(struct: type[msgspec.Struct]) -> Iterator[tuple[str, bytes]]:
    """Yield bodies: each value whole, and as each field of the struct."""
    for name, value in values(BODY_BYTES - 1000).items():
        yield f"whole: {name}", value
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        for name, value in values(BODY_BYTES - 1000).items():
            yield f"{field.encode_name}: {name}", b'{"%b":%b}' % (field.encode_name.encode(), value)


def queries(struct: type[msgspec.Struct] | None) -> Iterator[tuple[str, str]]:
    """Yield query strings: long values of each parameter, and many parameters."""
    yield "many parameters", "&".join(f"p{n}={n}" for n in range(3000))[:HEAD_BYTES]
    if struct is None:
        return
    for field in msgspec.structs.fields(struct):
        for name, part in (
            ("letters", "a"),
            ("escapes", "%2541"),
            ("stars", "*"),
            ("digits", "9"),
            ("commas", "a,"),
        ):
            yield (
                f"{field.encode_name}: {name}",
                f"{field.encode_name}={part * (HEAD_BYTES // len(part) // 2)}",
            )


HEADERS: Final[dict[str, dict[str, str]]] = {
    "many headers": {f"x-{n}": "1" for n in range(90)},
    "a long header": {"x-long": "a" * HEAD_BYTES},
    "a long key": {"idempotency-key": "k" * HEAD_BYTES},
    "a long request id": {"x-request-id": "r" * HEAD_BYTES},
    "a long content type": {"content-type": "application/json;" + "a;" * (HEAD_BYTES // 2)},
    "a long signature": {"x-agh-webhook-signature": "v1=" + "a," * (HEAD_BYTES // 2)},
    "a long last event id": {"last-event-id": "9" * HEAD_BYTES},
}


def json_text(value: Any) -> bytes:  # noqa: ANN401  JSON
    """Return a value as a body."""
    return json.dumps(value).encode()
