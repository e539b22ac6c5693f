"""Reads questions of the DNS and writes answers: the few kinds that a sandbox needs.

A question comes from hostile code: everything is bounded, nothing is followed (a name in a question
needs no compression pointer, so one is an error). Answers hold at most one address.
"""

import struct
from enum import IntEnum
from typing import Final

import msgspec

from runwright.core.hostnames import normal_name

LARGEST_QUESTION: Final = 1232
TTL_SECONDS: Final = 30
A: Final = 1
AAAA: Final = 28
_INTERNET: Final = 1
_HEADER: Final = struct.Struct("!6H")
_ENTRY: Final = struct.Struct("!HHIH")
_POINTER_TO_QUESTION: Final = b"\xc0\x0c"
_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_WANTS_RECURSION: Final = 0x0100
_OFFERS_RECURSION: Final = 0x0080
_LONGEST_LABEL: Final = 63
_LONGEST_NAME: Final = 255


class Code(IntEnum):
    """What an answer says of its question."""

    FINE = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NO_SUCH_NAME = 3
    NOT_IMPLEMENTED = 4


class Question(msgspec.Struct, frozen=True):
    """One question: what to answer it with, and the name in its normal form, None for one that is none."""

    id: int
    flags: int
    raw: bytes
    name: str | None
    kind: int
    internet: bool


def read_question(message: bytes) -> Question | bytes | None:
    """Return the question of a message; else an answer that refuses it; None where it deserves none."""
    if not _HEADER.size <= len(message) <= LARGEST_QUESTION:
        return None
    number, flags, count, *_ = _HEADER.unpack_from(message)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE:
        return _refusal(number, flags, Code.NOT_IMPLEMENTED)
    found = _read_name(message, _HEADER.size) if count == 1 else None
    if found is None or found[1] + 4 > len(message):
        return _refusal(number, flags, Code.FORMAT_ERROR)
    labels, end = found
    kind, group = struct.unpack_from("!HH", message, end)
    try:
        name = normal_name(b".".join(labels).decode("ascii")) if labels else None
    except UnicodeDecodeError:
        name = None
    return Question(number, flags, message[_HEADER.size : end + 4], name, kind, group == _INTERNET)


def write_answer(question: Question, code: Code, address: bytes | None = None) -> bytes:
    """Return the answer to a question, with an IPv4 address or without any."""
    flags = _RESPONSE | question.flags & _WANTS_RECURSION | _OFFERS_RECURSION | code
    header = _HEADER.pack(question.id, flags, 1, int(address is not None), 0, 0)
    entry = b""
    if address is not None:
        entry = _POINTER_TO_QUESTION + _ENTRY.pack(A, _INTERNET, TTL_SECONDS, len(address)) + address
    return header + question.raw + entry


def _refusal(number: int, flags: int, code: Code) -> bytes:
    return _HEADER.pack(number, _RESPONSE | flags & (_OPCODE | _WANTS_RECURSION) | code, 0, 0, 0, 0)


def _read_name(message: bytes, offset: int) -> tuple[list[bytes], int] | None:
    """Return the labels of a name and where it ends; None where it is broken or compressed."""
    labels: list[bytes] = []
    start = offset
    while offset < len(message) and offset - start < _LONGEST_NAME:
        length = message[offset]
        offset += 1
        if not length:
            return labels, offset
        if length > _LONGEST_LABEL or offset + length > len(message):
            return None
        labels.append(message[offset : offset + length])
        offset += length
    return None
