"""However many frames a sandbox sends at once, few are handled in one turn of the event loop."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runwright.runtimes.frame_socket import FRAMES_PER_TURN, MESSAGE_FRAMES, FrameSocket
from runwright.runtimes.protocol import HEADER, FrameKind

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EMPTY_LINE = HEADER.pack(FrameKind.LOG, 0, 0, 0, 1)


class Job:
    """Counts what it is given."""

    id = 1
    frames = dropped = 0

    def __init__(self) -> None:
        self.lines = 0

    def write(self, _at: datetime, _level: str, _data: bytes) -> None:
        self.lines += 1

    def write_record(self, _at: datetime, _level: str, _content: bytes) -> str | None:
        return "not sent here"

    def take_text_frame(self, _at: datetime, _level: str, _data: bytes) -> str | None:
        return "not sent here"

    def take_progress(self, _content: bytes) -> str | None:
        return "not sent here"


class Handler:
    """Acts on no frame that starts or ends a job: none is sent here."""

    def handle_began(self, _assignment_id: int, _at: datetime, _now: float) -> str | None:
        return "not sent here"

    def handle_compiled(self) -> str | None:
        return "not sent here"

    def handle_request(self, _payload: bytes) -> str | None:
        return "not sent here"

    def handle_end(self, _kind: int, _flags: int, _micros: int, _payload: bytes, _at: datetime) -> str | None:
        return "not sent here"

    def connection_lost(self) -> None:
        raise AssertionError("the test has both ends")


@pytest.fixture
async def sock() -> AsyncIterator[FrameSocket]:
    one = FrameSocket(asyncio.get_running_loop(), Handler())
    yield one
    one.close()


def test_a_message_has_so_many_frames_at_most(sock: FrameSocket) -> None:
    job = sock.running = Job()
    sock.far.send(EMPTY_LINE * MESSAGE_FRAMES)
    assert sock.read(NOW, 0.0, lambda: True) is None
    assert job.lines == MESSAGE_FRAMES
    sock.far.send(EMPTY_LINE * 5_000)
    assert sock.read(NOW, 0.0, lambda: True) == "a message with too many frames"
    assert job.lines <= 2 * MESSAGE_FRAMES


def test_a_turn_has_so_many_frames_at_most_and_the_next_ones_follow(sock: FrameSocket) -> None:
    job = sock.running = Job()
    sock.far.setblocking(False)
    sent = 0
    while sent < 4 * FRAMES_PER_TURN:
        sock.far.send(EMPTY_LINE * MESSAGE_FRAMES)
        sent += MESSAGE_FRAMES
    while job.lines < sent:
        before = job.lines
        assert sock.read(NOW, 0.0, lambda: True) is None
        assert 0 < job.lines - before < FRAMES_PER_TURN + MESSAGE_FRAMES
