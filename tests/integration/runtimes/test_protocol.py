"""Both sides of the protocol agree on its numbers."""

import importlib.util
import re
from pathlib import Path

import pytest

from runwright.runtimes import protocol
from runwright.runtimes.harness_command import HARNESS_FOLDER
from runwright.runtimes.protocol import HEADER, FrameKind, LogLevel

LIMITS = {
    "OUTPUT_BYTES": protocol.OUTPUT_BYTES,
    "LOG_LINES": protocol.LOG_LINES,
    "LOG_BYTES": protocol.LOG_BYTES,
    "RAW_PENDING": protocol.RAW_PENDING,
    "WORN": protocol.WORN,
    "INFO": LogLevel.INFO,
    "WARN": LogLevel.WARN,
    "ERR": LogLevel.ERROR,
}


def test_the_python_side_has_the_same_numbers() -> None:
    spec = importlib.util.spec_from_file_location("runwright_wire", HARNESS_FOLDER / "runwright_wire.py")
    assert spec is not None
    assert spec.loader is not None
    wire = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(wire)
    assert {kind.name: getattr(wire, kind.name) for kind in FrameKind} == {
        kind.name: kind for kind in FrameKind
    }
    assert {name: getattr(wire, name) for name in LIMITS} == LIMITS
    assert wire.HEADER.format == HEADER.format
    assert wire.CHUNK_BYTES <= protocol.CHUNK_BYTES < wire.MESSAGE_BYTES


@pytest.mark.parametrize("harness", ["node_harness.cjs", "deno_harness.js"])
def test_the_javascript_sides_have_the_same_numbers(harness: str) -> None:
    source = Path(HARNESS_FOLDER, harness).read_text()
    found = re.findall(r"\b([A-Z_]+) = ([0-9][0-9 *]*)", source)
    numbers = {name: eval(value) for name, value in found}
    kinds = {kind.name: kind for kind in FrameKind if kind is not FrameKind.COMPILED}
    assert {name: numbers[name] for name in kinds} == kinds
    assert {name: numbers[name] for name in LIMITS} == LIMITS
    assert numbers["HEADER_BYTES"] == HEADER.size


def test_large_content_is_cut_into_messages_and_comes_together_again() -> None:
    payload = bytes(range(256)) * 1000
    messages = protocol.messages(FrameKind.RUN, payload, 7)
    kinds = [HEADER.unpack_from(message)[0] for message in messages]
    assert kinds == [FrameKind.PART] * (len(messages) - 1) + [FrameKind.RUN]
    assert b"".join(message[HEADER.size :] for message in messages) == payload
    assert all(len(message) <= protocol.CHUNK_BYTES + HEADER.size for message in messages)
    assert len(protocol.messages(FrameKind.RUN, b"x" * protocol.CHUNK_BYTES, 7)) == 1
