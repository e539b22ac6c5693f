"""Frames that break the protocol in every way; runs in the test and, as source, inside a sandbox."""

import json
import random
import struct
from collections.abc import Iterator

HEADER = struct.Struct("<BBHIQ")
KINDS = (1, 2, 3, 4, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25)
BEGAN, LOG, DROPPED, RESULT, ERROR, PART = 17, 18, 19, 20, 21, 3
RECORD, PROGRESS, REQUEST = 23, 24, 25
CALLS = (RECORD, PROGRESS, REQUEST)
CODES = (
    "handler_error",
    "load_error",
    "out_of_memory",
    "output_too_large",
    "executor_lost",
    "timeout",
    "",
    "x",
)


def payload(rnd: random.Random) -> bytes:
    """Return the content of a frame: text, JSON that is good, deep, cut or not UTF-8, bytes, nothing."""
    choices = (
        b"",
        b"7",
        b"null",
        b'{"a":[1,2,{"b":"\\ud800"}]}',
        b"[" * rnd.choice((10, 5000, 60_000)),
        b"\xff\xfe\x00" * rnd.randrange(1, 50),
        b"\n" * rnd.randrange(1, 70_000),
        rnd.randbytes(rnd.randrange(0, 300)),
        b"x" * rnd.randrange(0, 80_000),
        json.dumps({"code": rnd.choice(CODES), "message": "m" * rnd.randrange(0, 9000)}).encode(),
        json.dumps({"code": "handler_error", "message": "\0\ud800", "stack": "s" * 40_000}).encode(),
        json.dumps({"code": 1, "message": []}).encode(),
        b"1e999999",
    )
    return rnd.choice(choices)


def call(rnd: random.Random, kind: int) -> bytes:
    """Return the content of a RECORD, PROGRESS or REQUEST: good, or wrong in one place."""
    value = rnd.choice(
        (b"1", b"null", b'{"a":[1]}', b"1e999", b"[" * 200, b'"' + b"x" * rnd.randrange(70_000) + b'"')
    )
    if kind == RECORD:
        return b'["text",' + rnd.choice((value, b'{"f":' + value + b"}", b'{"f":1},2')) + b"]"
    if kind == PROGRESS:
        message = rnd.choice((b"null", b'"at work"', value))
        return b"[" + rnd.choice((b"0.5", b"null", b"-1", b"2", b"NaN")) + b"," + message + b"]"
    name = rnd.choice((b"get", b"set", b"emit", b"start", b"shell", b""))
    key = rnd.choice((b'"key"', b'"no key"', b"null", b"7"))
    rest = rnd.choice(
        (
            b"",
            b',"value":' + value,
            b',"type":"custom.a","payload":' + value,
            b',"worker":"w","input":' + value,
        )
    )
    number = rnd.choice((b"", b"\1\0\0\0", rnd.randbytes(4)))
    return number + b'{"op":"' + name + b'","key":' + key + rest + b"}"


def frame(rnd: random.Random, token: int) -> bytes:
    """Return one frame, right or wrong in its kind, flags, length or id."""
    content = payload(rnd)
    kind = rnd.choice((LOG, RESULT, ERROR, PART, BEGAN, DROPPED, rnd.choice(KINDS), rnd.randrange(256)))
    if rnd.random() < 0.3:
        kind = rnd.choice(CALLS)
        content = call(rnd, kind)
    size = len(content) if rnd.random() < 0.8 else rnd.choice((0, 1, len(content) + 1, 2**31, 2**32 - 1))
    near = (token, token, token, token + 1, token - 1, 0, 2**64 - 1, rnd.getrandbits(64))
    number = rnd.choice(near) % 2**64
    return HEADER.pack(kind, rnd.choice((0, 0, 1, 2, 3, 255)), rnd.randrange(65536), size, number) + content


def message(rnd: random.Random, token: int) -> bytes:
    """Return one message: a frame, several, a part of one, or no frame at all."""
    kind = rnd.randrange(10)
    if kind == 0:
        return rnd.randbytes(rnd.randrange(0, 40))
    if kind == 1:
        return frame(rnd, token)[: rnd.randrange(1, 20)]
    if kind == 2:
        return b"".join(frame(rnd, token) for _ in range(rnd.randrange(2, 6)))[:200_000]
    if kind == 3:
        return HEADER.pack(LOG, rnd.randrange(3), 0, 1, token) + b"x"
    return frame(rnd, token)


def messages(rnd: random.Random, token: int) -> Iterator[bytes]:
    """Yield messages without end."""
    while True:
        yield message(rnd, token)
