"""Both sides of the protocol agree on its numbers."""

import importlib.util
import re
from pathlib import Path

import pytest

from runwright.runtimes import handler_calls, protocol
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
CALLS = (FrameKind.ANSWER, FrameKind.PROGRESS, FrameKind.REQUEST)
"""Frames of `handler_calls.mjs`, which node and deno share."""


def test_the_python_side_has_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HARNESS_FOLDER))
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
    assert wire.DEBUG == LogLevel.DEBUG
    assert wire.CHUNK_BYTES <= protocol.CHUNK_BYTES < wire.MESSAGE_BYTES


@pytest.mark.parametrize("harness", ["node_harness.cjs", "deno_harness.js"])
def test_the_javascript_sides_have_the_same_numbers(harness: str) -> None:
    calls = Path(HARNESS_FOLDER, "handler_calls.mjs").read_text()
    output = Path(HARNESS_FOLDER, "job_output.mjs").read_text()
    source = Path(HARNESS_FOLDER, harness).read_text() + calls + output
    found = re.findall(r"\b([A-Z_]+) = ([0-9][0-9 *]*)", source)
    numbers = {name: eval(value) for name, value in found}
    kinds = {kind.name: kind for kind in FrameKind if kind is not FrameKind.COMPILED}
    assert {name: numbers[name] for name in kinds} == kinds
    assert {name: numbers[name] for name in LIMITS} == LIMITS
    assert numbers["HEADER_BYTES"] == HEADER.size
    assert {kind.name: numbers[kind.name] for kind in CALLS} == {kind.name: kind for kind in CALLS}
    levels = dict(re.findall(r"\b(info|warn|error|debug): (\d)", calls))
    assert {name: int(level) for name, level in levels.items()} == {
        name: number for number, name in enumerate(protocol.LEVELS)
    }


def test_the_sides_of_a_request_agree_on_its_limits() -> None:
    for name in ("runwright_channel.py", "handler_calls.mjs"):
        source = Path(HARNESS_FOLDER, name).read_text()
        numbers = {key: eval(value) for key, value in re.findall(r"\b([A-Z_]+) = ([0-9][0-9 *]*)", source)}
        assert numbers["VALUE_BYTES"] == handler_calls.VALUE_BYTES
        assert numbers["REQUEST_BYTES"] == protocol.REQUEST_BYTES
        assert numbers["PROGRESS_CHARS"] == handler_calls.MESSAGE_CHARS
        assert numbers["FIELDS_BYTES"] < protocol.FIELDS_BYTES
        assert numbers["PROGRESS_BURST"] < handler_calls.PROGRESS_BURST
        assert numbers["PROGRESS_PER_SECOND"] < handler_calls.PROGRESS_PER_SECOND


def test_large_content_is_cut_into_messages_and_comes_together_again() -> None:
    payload = bytes(range(256)) * 1000
    messages = protocol.messages(FrameKind.RUN, payload, 7)
    kinds = [HEADER.unpack_from(message)[0] for message in messages]
    assert kinds == [FrameKind.PART] * (len(messages) - 1) + [FrameKind.RUN]
    assert b"".join(message[HEADER.size :] for message in messages) == payload
    assert all(len(message) <= protocol.CHUNK_BYTES + HEADER.size for message in messages)
    assert len(protocol.messages(FrameKind.RUN, b"x" * protocol.CHUNK_BYTES, 7)) == 1
