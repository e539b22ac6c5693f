"""A page that is encoded row by row, or sent in parts, is the same JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from starlette.responses import Response
from starlette.types import Message, Scope

from runwright.http import response as response_module
from runwright.http.response import (
    CONNECTION,
    GROUP_BYTES,
    LateRows,
    RowsResponse,
    encode_rows,
    groups_of,
    struct_response,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Row(msgspec.Struct, frozen=True):
    id: str
    at: datetime
    raw: msgspec.Raw
    more: dict[str, float] = {}


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    data: list[Row]
    total: int | None = None


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    page_data: Page
    names: list[str]


ROWS = [Row("é", AT, msgspec.Raw(b'{"a": 1}'), {"x": 1.5}), Row("", AT, msgspec.Raw(b"null"))]


@pytest.mark.parametrize(
    "result",
    [
        *(Page(ROWS), Page([]), Page(ROWS[:1], total=1), ROWS[0], None, {"a": 1}, "text"),
        Answer(Page(ROWS, total=2), ["a", "b"]),
    ],
)
async def test_it_is_the_same(result: object) -> None:
    assert msgspec.json.encode(await encode_rows(result)) == msgspec.json.encode(result)


async def test_each_row_is_a_step() -> None:
    encoded = await encode_rows(Answer(Page(ROWS), []))
    assert isinstance(encoded, Answer)
    assert {type(row).__name__ for row in encoded.page_data.data} == {"Raw"}


class Connection:
    """A client's connection, lost after so many parts."""

    def __init__(self, parts: int = 1000) -> None:
        self.parts = parts
        self.sent: list[Message] = []

    @property
    def is_lost(self) -> bool:
        return len(self.sent) > self.parts

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def receive(self) -> Message:
        raise AssertionError("nothing is received")

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:]]


async def sent(response: Response, connection: Connection) -> bytes:
    scope: Scope = {"type": "http", "extensions": {CONNECTION: connection}}
    await response(scope, connection.receive, connection.send)
    assert connection.sent[0]["status"] == 200
    return b"".join(connection.bodies)


async def test_a_large_list_is_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_module, "LARGE_LIST_BYTES", 300)
    monkeypatch.setattr(response_module, "PART_BYTES", 60)
    large = Answer(Page(ROWS * 20, total=2), ["a", "b"])
    small = await struct_response(Answer(Page(ROWS, total=2), ["a"]), 200)
    assert not isinstance(small, RowsResponse)
    connection = Connection()
    response = await struct_response(large, 200, headers={"x-a": "b"})
    assert await sent(response, connection) == msgspec.json.encode(large)
    assert len(connection.bodies) > 20
    assert (b"content-type", b"application/json") in connection.sent[0]["headers"]
    assert (b"x-a", b"b") in connection.sent[0]["headers"]
    assert "more_body" not in connection.sent[-1]


async def test_rows_are_read_in_groups_when_they_are_sent_and_not_for_who_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(response_module, "PART_BYTES", 10)
    loaded: list[int] = []

    async def load(rows: Sequence[Row]) -> Sequence[Row]:
        loaded.append(len(rows))
        return [msgspec.structs.replace(row, id="read") for row in rows]

    late = LateRows("data", [3, 1, 2], load)
    whole = await sent(await struct_response(Page(ROWS * 3), 200, late=late), Connection())
    read = [msgspec.structs.replace(row, id="read") for row in ROWS * 3]
    assert whole == msgspec.json.encode(Page(read))
    assert loaded == [3, 1, 2]
    await sent(await struct_response(Page(ROWS * 3), 200, late=late), Connection(parts=1))
    assert loaded == [3, 1, 2, 3]


def test_groups_are_as_large_as_fits_and_single_rows_may_be_larger() -> None:
    half = GROUP_BYTES // 2
    assert groups_of([]) == []
    assert groups_of([0] * 50) == [50]
    assert groups_of([half] * 5) == [2, 2, 1]
    assert groups_of([2 * GROUP_BYTES, 1, half, GROUP_BYTES, 0]) == [1, 2, 2]
